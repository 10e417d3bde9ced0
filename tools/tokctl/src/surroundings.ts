// What a command sees of the world: environment, terminal, clock, config directory. Tests hand in their own.
import type { Readable, Writable } from 'node:stream';
import type { ProfileStore } from './profile.store.ts';

/** Bytes as they come and go, for a console. */
export interface Line {
  readonly input: Readable;
  readonly output: Writable;
  /** Where a person types: keys come one by one and unchanged, until what it answers is called. */
  readonly takeKeys: (() => () => void) | undefined;
}

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
  readonly line: () => Line;
  readonly nowMs: () => number;
  /** Ends what would go on for ever; absent = only the keyboard does. */
  readonly signal?: AbortSignal;
}
