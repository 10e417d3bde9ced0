// What an owner gives the reconciler of drift: how it compares its rows with what is there, and what puts a difference right.
import type { Difference, DriftFinding, DriftKind } from '#contracts';
import type { Result } from '#kernel';

/** One place that was looked at in full. What is not seen there any more has gone; of other places nothing is said. */
export interface Look {
  readonly scope: string;
  /** How many things were compared: a difference in a large part of them is not the things' fault. */
  readonly population: number;
  readonly differences: readonly Difference[];
}

/** Repeated under the same command id after a crash; it looks once more for itself whether the difference is there. */
export type Act = (finding: DriftFinding, commandId: string) => Promise<Result<unknown>>;
export type Acts = Readonly<Partial<Record<DriftKind, Act>>>;

export interface DriftSource {
  readonly name: string;
  /**
   * Reads what is there before it reads rows: rows are written before things are made, and go after them, so that nothing which is
   * being made or removed looks like a difference for longer than one look. Leaves out places that do not answer.
   */
  look(signal: AbortSignal): Promise<readonly Look[]>;
  readonly repair?: Acts;
  /** Moves what is to be kept apart out of the way; kinds without are kept where they are. */
  readonly keep?: Acts;
  readonly release?: Acts;
}
