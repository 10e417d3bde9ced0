// The reins of one run: why it should end before its time, told to the step through its signal.
import { CancelAsked, ClaimLost, Stopping } from './interrupt.ts';
import type { Claim } from './claim.store.ts';

export type Interruption = 'lost' | 'cancelled' | 'stopping';

export class RunControl {
  private readonly controller = new AbortController();
  private heard: Interruption | null = null;

  constructor(readonly claim: Claim) {}

  get signal(): AbortSignal {
    return this.controller.signal;
  }

  /** A loss outweighs what was heard before it: nothing may be written then. */
  get interruption(): Interruption | null {
    return this.heard;
  }

  interrupt(why: Interruption): void {
    if (this.heard === 'lost') return;
    this.heard = why;
    this.controller.abort(reasons[why]());
  }
}

const reasons: Readonly<Record<Interruption, () => Error>> = {
  lost: () => new ClaimLost(),
  cancelled: () => new CancelAsked(),
  stopping: () => new Stopping(),
};
