/** What was measured on GPUs, kept by the browser from one page to the next. */
import type { GpuTraits } from '../../ops/define';

const [DATABASE, STORE] = ['wafer', 'gpus'] as const;

/** What was found for a GPU of this name; undefined where nothing was, or the browser does not remember. */
export async function remembered(name: string): Promise<GpuTraits | undefined> {
  const found = await stored('readonly', (store) => store.get(name)).catch(() => undefined);
  const { isSoftware, packedDot } = (found ?? {}) as Partial<GpuTraits>;
  return typeof isSoftware === 'boolean' && typeof packedDot === 'boolean' ? { isSoftware, packedDot } : undefined;
}

/** Does nothing where the browser does not remember. */
export const remember = (name: string, traits: GpuTraits): Promise<unknown> =>
  stored('readwrite', (store) => store.put(traits, name)).catch(() => undefined);

/** Rejects where there is no database, as in private windows. */
function stored<T>(mode: IDBTransactionMode, request: (store: IDBObjectStore) => IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open(DATABASE, 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
    opening.onerror = () => reject(opening.error);
    opening.onsuccess = () => {
      const asked = request(opening.result.transaction(STORE, mode).objectStore(STORE));
      asked.onerror = () => reject(asked.error);
      asked.onsuccess = () => {
        opening.result.close();
        resolve(asked.result);
      };
    };
  });
}
