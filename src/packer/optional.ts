/** Large packages that only some verbs need: the user installs them, and is asked for them by name. */
import { WaferError } from '../core/errors';

/** Imports package `name`. Throws NOT_FOUND with the command that installs it; `why` completes "is needed to". */
export async function optionalPackage<T>(name: string, why: string): Promise<T> {
  try {
    return (await import(name)) as T;
  } catch (error) {
    if ((error as { code?: string }).code !== 'ERR_MODULE_NOT_FOUND') throw error;
    throw new WaferError('NOT_FOUND', `the package ${name} is needed to ${why}`, { hint: `npm install ${name}` });
  }
}
