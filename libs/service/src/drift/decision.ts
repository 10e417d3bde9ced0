// What is done about a difference, as a table: what is known of it, against what a look has seen. Nothing here reads, writes or
// waits. Read it from the top; the first row that fits decides.
import type { DriftHandling, DriftState } from '#contracts';

/** The finding that there is already. */
export interface Known {
  readonly state: DriftState;
  /** Its evidence is what the look has seen. */
  readonly same: boolean;
  /** A repair was begun, and may have had its effect. */
  readonly begun: boolean;
  /** Kept apart for longer than was said. */
  readonly overdue: boolean;
  /** A repair was refused a moment ago; nobody asks again at every look. */
  readonly refused: boolean;
  /** Put right several times within an hour, and back each time. */
  readonly comesBack: boolean;
}

/** What this look has seen of it. */
export interface Seen {
  readonly handling: DriftHandling;
  /** A task works, or has worked since the look before, on what it is about. */
  readonly touched: boolean;
  /** The look before has seen it with the same evidence. */
  readonly twice: boolean;
  /** A large part of everything at that place differs. */
  readonly crowded: boolean;
  /** This service puts things right by itself. */
  readonly acts: boolean;
}

/**
 * `suspect` = remember it until the next look; `wait` = forget that it was seen; `open` = it is certain, decide anew; `see` = nothing
 * new; `hold` = certain, and better left to a person; `settle` = a repair that was begun has worked; `clear` = gone by itself.
 */
export type Step = 'nothing' | 'suspect' | 'wait' | 'open' | 'see' | 'hold' | 'repair' | 'keep' | 'expire' | 'settle' | 'clear';

const isOpen = ({ state }: Known): boolean => state === 'found' || state === 'quarantined' || state === 'expired';
const kept = (known: Known): boolean => known.state === 'quarantined' || known.state === 'expired';

interface Rule { readonly when: (known: Known | null, seen: Seen | null) => boolean; readonly step: Step }

export const rules: readonly Rule[] = [
  // Not there any more.
  { when: (known, seen) => seen === null && known !== null && isOpen(known) && known.begun, step: 'settle' },
  { when: (known, seen) => seen === null && known !== null && (isOpen(known) || known.state === 'dismissed'), step: 'clear' },
  { when: (_known, seen) => seen === null, step: 'nothing' },
  // Something is being made or taken away just now: this look says nothing.
  { when: (_known, seen) => seen!.touched, step: 'wait' },
  // Known, and as it was.
  { when: (known) => known?.state === 'dismissed' && known.same, step: 'see' },
  { when: (known) => known?.state === 'quarantined' && known.same && known.overdue, step: 'expire' },
  { when: (known) => known !== null && kept(known) && known.same, step: 'see' },
  { when: (known, seen) => known?.state === 'found' && known.same && (!seen!.acts || seen!.handling === 'show' || known.refused), step: 'see' },
  { when: (known, seen) => known?.state === 'found' && known.same && (seen!.crowded || known.comesBack), step: 'hold' },
  { when: (known, seen) => known?.state === 'found' && known.same && seen!.handling === 'repair', step: 'repair' },
  { when: (known, seen) => known?.state === 'found' && known.same && seen!.handling === 'quarantine', step: 'keep' },
  // New, back, or another than before: certain at the second look that sees the same.
  { when: (_known, seen) => !seen!.twice, step: 'suspect' },
  { when: () => true, step: 'open' },
];

export const stepFor = (known: Known | null, seen: Seen | null): Step => rules.find((rule) => rule.when(known, seen))!.step;

/** Fewer than this many are never a crowd. */
const FEW = 10;
/** More differences than this at one place are held: it is likelier that the rows are wrong, say from an old backup, than the world. */
export const isCrowd = (differences: number, population: number): boolean => differences > Math.max(FEW, population / 5);

/** So many repairs within an hour, and what was put right is back: something makes it so. */
export const MOST_REPAIRS = 3;
