// The reins of one run: why it should end before its time, told to the step through its signal.
import { CancelAsked, ClaimLost, Stopping } from './interrupt.ts';
import type { Claim } from './claim.store.ts';

export type Interruption = 'lost' | 'cancelled' | 'stopping';

export class RunControl {
  private controller = new AbortController();
  private heard: Interruption | null = null;
  private goesBack = false;

  constructor(readonly claim: Claim) {}

  get signal(): AbortSignal {
    return this.controller.signal;
  }

  /** A loss outweighs what was heard before it: nothing may be written then. */
  get interruption(): Interruption | null {
    return this.heard;
  }

  /** From here on the task is undone. A cancel may be what has brought it there, and stops nothing any more. */
  turnBack(): void {
    this.goesBack = true;
    if (this.heard !== 'cancelled') return;
    this.heard = null;
    this.controller = new AbortController();
  }

  interrupt(why: Interruption): void {
    if (this.heard === 'lost') return;
    // A worker that stops hands the task over, cancelled or not.
    if (why === 'cancelled' && (this.goesBack || this.heard !== null)) return;
    this.heard = why;
    this.controller.abort(reasons[why]());
  }
}

const reasons: Readonly<Record<Interruption, () => Error>> = {
  lost: () => new ClaimLost(),
  cancelled: () => new CancelAsked(),
  stopping: () => new Stopping(),
};
