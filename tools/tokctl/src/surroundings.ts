// What a command sees of the world: environment, terminal, clock, config directory. Tests hand in their own.
import type { ProfileStore } from './profile.store.ts';

export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly store: ProfileStore;
  /** Results; a line break is added. */
  readonly out: (text: string) => void;
  /** Everything that is no result. */
  readonly say: (text: string) => void;
  /** Replaces the line on the terminal that `say` writes to; only used when `watched`. */
  readonly redraw: (line: string) => void;
  /** A person sees what `say` writes. */
  readonly watched: boolean;
  /** Width for results; Infinity when they go to a file or a pipe. */
  readonly width: number;
  /** One line of standard input; undefined at its end. */
  readonly readLine: () => Promise<string | undefined>;
  /** Asks the person; undefined when there is none. `hidden` shows nothing of what is typed. */
  readonly question: (prompt: string, hidden: boolean) => Promise<string | undefined>;
  readonly nowMs: () => number;
  /** Ends what would go on for ever; absent = only the keyboard does. */
  readonly signal?: AbortSignal;
}
