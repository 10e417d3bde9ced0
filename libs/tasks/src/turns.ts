// Which task a worker takes up that has become free. While nobody queues it is the one that it was woken for, and costs
// no question. A task that comes late says that tasks queue up: from then on a wake only says that there is something to do, and
// the task is the one whose turn it is, user by user. So a thousand tasks of one user delay another's by a few.

/** A task that could have run so long ago shows that there are more of them than workers. */
export const LATE_MS = 250;
/** So long after the last late one turns are kept. */
const QUEUING_MS = 1_000;
/** For so long at least and at most it is believed who is next; who has come meanwhile waits so long. */
const BELIEVED_MS = { least: 200, most: 1_000 };
/** A long queue takes time to be read: of that time so many times as much passes before it is read again. */
const READ_PART = 10;
/** So often others may have been quicker with all that were next; the sweep finds what is left then. */
const MOST_LISTS = 5;

interface Late { readonly lateMs: number }

export class Turns {
  private queuingUntil = -Infinity;
  private next: string[] = [];
  private believedUntil = -Infinity;
  /** Nobody was waiting when it was last read. */
  private isNobody = false;
  private listing: Promise<void> | undefined;

  /** `list` answers who is next, in order, at most so many as are taken up from one list. */
  constructor(private readonly list: () => Promise<readonly string[]>, private readonly now: () => number = () => performance.now()) {}

  /** Null when there is nothing to take up. */
  async take<C extends Late>(wokenFor: string, claim: (taskId: string) => Promise<C | null>): Promise<C | null> {
    const inTurn = this.now() < this.queuingUntil ? await this.takeInTurn(claim) : null;
    // Nobody else queues, or it has come due since that was read.
    const claimed = inTurn ?? await claim(wokenFor);
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
    return this.now() < this.believedUntil ? this.next.shift() : undefined;
  }

  /** False when nobody waits. One question for all who ask at once. */
  private async look(): Promise<boolean> {
    if (this.isNobody && this.now() < this.believedUntil) return false;
    const askedAt = this.now();
    this.listing ??= this.list().then((ids) => {
      const readMs = this.now() - askedAt;
      this.next = [...ids];
      this.isNobody = ids.length === 0;
      this.believedUntil = this.now() + Math.min(BELIEVED_MS.most, Math.max(BELIEVED_MS.least, READ_PART * readMs));
    }).finally(() => { this.listing = undefined; });
    await this.listing;
    return this.next.length > 0;
  }
}
