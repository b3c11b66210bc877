/** What arrives before it is wanted: chunks of a file on their way to where they are read. */
export class Queue<T> implements AsyncIterable<T> {
  private readonly items: T[] = [];
  private end: { error?: unknown } | undefined;
  private wake: (() => void) | undefined;

  push(item: T): void {
    this.items.push(item);
    this.wake?.();
  }

  /** There will be no more. With an error, whoever waits for more gets that. */
  close(end: { error?: unknown } = {}): void {
    this.end ??= end;
    this.wake?.();
  }

  /** Gives each item once. */
  async *[Symbol.asyncIterator](): AsyncGenerator<T, void> {
    for (;;) {
      while (this.items.length) yield this.items.shift()!;
      if (this.end && 'error' in this.end) throw this.end.error;
      if (this.end) return;
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }
}
