// What waits for an actor: an urgent lane that is emptied first, and a bounded normal lane.

export class Mailbox<T> {
  private readonly urgent: T[] = [];
  private readonly normal: T[] = [];

  constructor(private readonly normalLimit: number) {}

  /** For outcomes and orders that must not wait behind others; their senders are bounded themselves. */
  postUrgent(item: T): void {
    this.urgent.push(item);
  }

  /** False when the lane is full. */
  offer(item: T): boolean {
    if (this.normal.length >= this.normalLimit) return false;
    this.normal.push(item);
    return true;
  }

  take(): T | undefined {
    return this.urgent.shift() ?? this.normal.shift();
  }
}
