// The names under which a task's calls are known to others: the same on every repetition, so that a call that was made
// before a crash is found instead of made again. A child task's id follows from its key: its parent knows it beforehand.
import { createHash } from 'node:crypto';

export interface CallPlace {
  readonly taskId: string;
  readonly rootTaskId: string;
  readonly seq: number;
  readonly undo: boolean;
}

const part = /^[a-z0-9.-]{1,40}$/;
const uuid = '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}';
const keyForm = new RegExp(`^(?:(${uuid})/)?(${uuid})/(\\d{1,3})(?:/undo)?(?:/[a-z0-9.-]{1,40})?$`);

function suffix(name: string | undefined): string {
  if (name === undefined) return '';
  if (!part.test(name) || name === 'undo') throw new Error(`"${name}" cannot be part of a key`);
  return `/${name}`;
}

/** Host command id: `<taskId>/<seq>[/undo][/<part>]`. */
export const commandIdOf = (place: CallPlace, name?: string): string => `${place.taskId}/${place.seq}${place.undo ? '/undo' : ''}${suffix(name)}`;

/** Idempotency key of a request: the command id, with the root task before it where that is another. */
export const requestKeyOf = (place: CallPlace, name?: string): string =>
  place.rootTaskId === place.taskId ? commandIdOf(place, name) : `${place.rootTaskId}/${commandIdOf(place, name)}`;

export interface Parentage {
  readonly parentTaskId: string;
  readonly rootTaskId: string;
}

/** Whose child a command with this key starts. Only the key of a service may be asked: a user could write anything. */
export function parentOfKey(key: string): Parentage | null {
  const match = keyForm.exec(key);
  const parentTaskId = match?.[2];
  return parentTaskId === undefined ? null : { parentTaskId, rootTaskId: match?.[1] ?? parentTaskId };
}

/** A UUID of version 7 form: the parent's time, so that it sorts beside it, and a hash of receiver and key. */
export function childTaskId(service: string, key: string): string {
  const time = (parentOfKey(key)?.parentTaskId ?? key).slice(0, 13);
  const hash = createHash('sha256').update(`${service} ${key}`).digest('hex');
  return `${time}-7${hash.slice(0, 3)}-${'89ab'[parseInt(hash.slice(3, 4), 16) & 3] ?? '8'}${hash.slice(4, 7)}-${hash.slice(7, 19)}`;
}

/** The task that a command id was made for; null for ids of another form. */
export const taskOfCommandId = (commandId: string): string | null => new RegExp(`^(${uuid})/`).exec(commandId)?.[1] ?? null;
