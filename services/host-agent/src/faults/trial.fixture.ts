// What a row of the table of killed commands says, and how a trial of it goes: one command to one VM, volume, switch or
// process of its own, sent to an agent that dies over it.
import type { HostOperation } from '#contracts';
import type { KillWorld } from './kill-world.fixture.ts';

/**
 * What is there of an effect, seen without asking an agent: `is` reads the same for every trial of a row, `own` differs for
 * what is made a second time.
 */
export interface Seen { readonly is: Readonly<Record<string, unknown>>; readonly own: readonly unknown[] }

export interface Trial {
  /** Whose points are meant: the VM's, or those of this command alone where it is one to the host. */
  readonly of: string;
  readonly commandId: string;
  prepare(): Promise<void>;
  /** Once it is prepared. */
  input(): unknown;
  /** What the guest does so that the command comes to its end; asked for again and again while the command is on its way. */
  guest?(): Promise<void>;
  look(): Promise<Seen>;
  /** Through the agent, as the pool would. */
  clean(): Promise<void>;
}

export interface Row {
  readonly command: HostOperation;
  /** Which kind of it, where a command has several rows. */
  readonly about?: string;
  /** The point behind its effect. */
  readonly behind: string;
  /** What is there once the command is carried out. */
  readonly effect: Seen['is'];
  /** What of it is sure to be there at the point behind it, where not all is. */
  readonly sure?: Seen['is'];
  /** What an agent answers otherwise that finds the effect there and was not there when it came about. */
  readonly found?: Readonly<Record<string, unknown>>;
  /** The agent's end has the effect by itself. */
  readonly comesWithTheEnd?: true;
  /** Its result is on record before its effect: what is deleted cannot keep it. */
  readonly recordedFirst?: true;
  begin(world: KillWorld): Trial;
}

/** An answer without what is another one's in every trial. */
export function shapeOf(answer: unknown): unknown {
  if (typeof answer !== 'object' || answer === null) return answer;
  const differing = ['vmId', 'pid', 'startedAt', 'bridge', 'allocatedBytes'];
  const entries = Object.entries(answer).map(([name, value]: [string, unknown]) => [name, differing.includes(name) && value !== null ? typeof value : value] as const);
  // What a balloon shows is looked at now and then, and no part of an answer's promise.
  return Object.fromEntries(entries.filter(([name]) => name !== 'memory'));
}
