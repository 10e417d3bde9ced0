// Which task a worker takes up that has become free. While nobody queues it is the one that it was woken for, and costs
// no question. A task that comes late says that tasks queue up: from then on a wake only says that there is something to do, and
// the task is the one whose turn it is, user by user. So a thousand tasks of one user delay another's by a few.

/** A task that could have run so long ago shows that there are more of them than workers. */
export const LATE_MS = 250;
/** So long after the last late one turns are kept. */
const QUEUING_MS = 1_000;
/** For so long it is believed who is next; who has come meanwhile waits so long at most. */
const BELIEVED_MS = 200;
/** So often others may have been quicker with all that were next; the sweep finds what is left then. */
const MOST_LISTS = 5;

interface Late { readonly lateMs: number }

export class Turns {
  private queuingUntil = -Infinity;
  private next: string[] = [];
  private listedAt = -Infinity;
  private listing: Promise<void> | undefined;

  /** `list` answers who is next, in order, at most so many as are taken up from one list. */
  constructor(private readonly list: () => Promise<readonly string[]>, private readonly now: () => number = () => performance.now()) {}

  /** Null when there is nothing to take up. */
  async take<C extends Late>(wokenFor: string, claim: (taskId: string) => Promise<C | null>): Promise<C | null> {
    const claimed = this.now() < this.queuingUntil ? await this.takeInTurn(claim) : await claim(wokenFor);
    if (claimed !== null && claimed.lateMs >= LATE_MS) this.queuingUntil = this.now() + QUEUING_MS;
    return claimed;
  }

  private async takeInTurn<C>(claim: (taskId: string) => Promise<C | null>): Promise<C | null> {
    for (let lists = 0; lists < MOST_LISTS;) {
      const taskId = this.believed();
      if (taskId === undefined) {
        lists += 1;
        if (!(await this.look())) return null;
        continue;
      }
      const claimed = await claim(taskId);
      if (claimed !== null) return claimed;
    }
    return null;
  }

  private believed(): string | undefined {
    return this.now() - this.listedAt < BELIEVED_MS ? this.next.shift() : undefined;
  }

  /** False when nobody waits. One question for all who ask at once. */
  private async look(): Promise<boolean> {
    this.listing ??= this.list().then((ids) => {
      this.next = [...ids];
      this.listedAt = this.now();
    }).finally(() => { this.listing = undefined; });
    await this.listing;
    return this.next.length > 0;
  }
}
