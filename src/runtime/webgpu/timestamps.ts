/** Times on the GPU itself. */
import { BUFFER, MAP_READ } from './usage';

/** Times of `count` passes on the GPU itself. */
export class Timestamps {
  private readonly queries: GPUQuerySet;

  constructor(
    private readonly device: GPUDevice,
    private readonly count: number,
  ) {
    this.queries = device.createQuerySet({ type: 'timestamp', count: 2 * count });
  }

  /** For the pass of this number. */
  around(i: number): GPUComputePassDescriptor {
    const { queries: querySet } = this;
    return { timestampWrites: { querySet, beginningOfPassWriteIndex: 2 * i, endOfPassWriteIndex: 2 * i + 1 } };
  }

  /** Milliseconds of each pass, once all are done. */
  async read(): Promise<number[]> {
    const { device, queries, count } = this;
    const size = 16 * count;
    const resolved = device.createBuffer({ size, usage: BUFFER.QUERY_RESOLVE | BUFFER.COPY_SRC });
    const staging = device.createBuffer({ size, usage: BUFFER.MAP_READ | BUFFER.COPY_DST });
    const commands = device.createCommandEncoder();
    commands.resolveQuerySet(queries, 0, 2 * count, resolved, 0);
    commands.copyBufferToBuffer(resolved, 0, staging, 0, size);
    device.queue.submit([commands.finish()]);
    await staging.mapAsync(MAP_READ);
    const ticks = new BigUint64Array(staging.getMappedRange().slice(0));
    for (const owned of [queries, resolved, staging]) owned.destroy();
    return Array.from({ length: count }, (_, i) => Number(ticks[2 * i + 1]! - ticks[2 * i]!) / 1e6);
  }
}
