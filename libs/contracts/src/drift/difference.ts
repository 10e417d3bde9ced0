// A difference between what an owner has written down and what is there, as the look that has seen it says.
import type { DriftKind } from './kinds.ts';

export interface Difference {
  readonly kind: DriftKind;
  readonly objectId: string;
  readonly objectName?: string | null;
  readonly hostId?: string | null;
  /** One sentence: what differs. */
  readonly text: string;
  /** Facts that stay as they are while the difference does: two looks must see them alike. What a repair needs is in it too. */
  readonly evidence: Readonly<Record<string, unknown>>;
  /** Objects of the owner whose tasks count as work on it, beside the object itself. */
  readonly touches?: readonly string[];
  /** It has been moved into quarantine, and lies there. */
  readonly kept?: boolean;
}
