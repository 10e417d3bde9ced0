// How far a run has come and what of it is on record. The end of a step and the beginning of the next are recorded at the
// next one's first call that may have an effect, and in its transaction where that call is one: a step without effects
// costs no commit, and after a crash nothing is done twice that had to be done once.
import type { StepDone } from './record.store.ts';

/** What is not on record yet. */
export interface Advance {
  /** Steps that have been done, in their order. */
  readonly done: readonly StepDone[];
  /** The step that begins; undefined behind the last. */
  readonly begin: number | undefined;
}

export class Boundary {
  private done: readonly StepDone[] = [];
  private begin: number | undefined;

  constructor(private recorded: number | undefined) {}

  /** The step that is on record as begun. */
  get begun(): number | undefined {
    return this.recorded;
  }

  /** Undefined where everything is on record. */
  get open(): Advance | undefined {
    return this.done.length === 0 && this.begin === undefined ? undefined : { done: this.done, begin: this.begin };
  }

  /** The step of this index is next. */
  enter(seq: number): void {
    this.begin = seq === this.recorded ? undefined : seq;
  }

  finish(step: StepDone): void {
    this.done = [...this.done, step];
    this.begin = undefined;
  }

  /** It is on record now. */
  close(): void {
    this.recorded = this.begin ?? this.recorded;
    this.done = [];
    this.begin = undefined;
  }
}
