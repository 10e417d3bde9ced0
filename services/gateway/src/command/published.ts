// What a published command says, and what kind of end an answer is for it. Pure.
import { createHash } from 'node:crypto';
import type { PublishedCommand } from '#bus';
import { holdsSecrets, Internal, InvalidArgument, operationByName, UnknownOperation } from '#contracts';
import type { BusCommandId, Operation } from '#contracts';
import { ok } from '#kernel';
import type { Fault, Result } from '#kernel';
import { passesByItself, pauseMs } from '#tasks';
import { openOperation } from '../bus/bus-subject.ts';

export interface Place { readonly handle: string; readonly operation: string }

const form = /^tok\.v1\.user\.([a-z0-9][a-z0-9_-]{0,31})\.cmd\.(.+)$/;

/** Who published, and what for; undefined cannot be, as the stream takes no other subjects. */
export function placeOfCommand(subject: string): Place | undefined {
  const [, handle, operation] = form.exec(subject) ?? [];
  // A name that is longer than any operation's is cut: it names nothing either way, and has to be kept.
  return handle === undefined || operation === undefined ? undefined : { handle, operation: operation.slice(0, 255) };
}

/**
 * What one user says about one object, or under one key, is taken in the order in which he said it. (Where one has to wait
 * for a service that is away, those behind it pass.)
 */
export function laneOf({ subject, idempotencyKey }: Pick<PublishedCommand, 'subject' | 'idempotencyKey'>, input: unknown): string {
  const place = placeOfCommand(subject);
  const member = place && operationByName.get(place.operation)?.on;
  const object: unknown = member === undefined || typeof input !== 'object' || input === null ? undefined : (input as Record<string, unknown>)[member];
  return `${place?.handle ?? ''} ${typeof object === 'string' ? object : idempotencyKey}`;
}

/** A UUID of version 7: the time of publishing and a hash of the place in the stream, the same at every delivery. */
export function commandId({ seq, publishedAt }: Pick<PublishedCommand, 'seq' | 'publishedAt'>): BusCommandId {
  const time = Math.max(0, publishedAt).toString(16).padStart(12, '0').slice(-12);
  const hash = createHash('sha256').update(`${publishedAt} ${seq}`).digest('hex');
  return `${time.slice(0, 8)}-${time.slice(8)}-7${hash.slice(0, 3)}-8${hash.slice(3, 6)}-${hash.slice(6, 18)}` as BusCommandId;
}

/** The command, or why it cannot be published. */
export function publishable(name: string): Result<Operation> {
  const operation = openOperation(name);
  if (operation === undefined) return UnknownOperation.fail(operationByName.has(name) ? `${name} is not for users of the bus.` : `There is no operation ${name.slice(0, 100)}; docs/reference/bus.md lists all.`);
  if (operation.kind === 'query') return InvalidArgument.fail('Only commands can be published; ask questions on …req…', { issues: [{ path: 'subject', message: 'names a query' }] });
  if (holdsSecrets(name)) return InvalidArgument.fail('Passwords, tokens and tickets are not left lying about: ask for this on …req…', { issues: [{ path: 'subject', message: 'names an operation with secrets' }] });
  return ok(operation);
}

/** What is kept of the body of a command that was refused. */
export const keptBody = (operation: string, body: Uint8Array): Uint8Array => (holdsSecrets(operation) ? new Uint8Array() : body);

const mostBugs = 10;

/** After how many ms to try again; undefined = the refusal is final. */
export function pauseAfter(fault: Fault, deliveries: number): number | undefined {
  if (fault.code === Internal.code) return deliveries < mostBugs ? pauseMs(deliveries) : undefined;
  if (!passesByItself(fault)) return undefined;
  const asked = fault.details?.['retryAfterMs'];
  return Math.max(typeof asked === 'number' ? asked : 0, pauseMs(deliveries - 1, fault));
}

const textIn = (reply: unknown, member: string): string | null => {
  const value: unknown = typeof reply === 'object' && reply !== null && member in reply ? (reply as Record<string, unknown>)[member] : null;
  return typeof value === 'string' ? value : null;
};
export interface Effect { readonly taskId: string | null; readonly objectId: string | null }
/** What an answer says about the effect, for the event: ids alone. */
export const effectOf = (reply: unknown): Effect => ({ taskId: textIn(reply, 'taskId'), objectId: textIn(reply, 'objectId') ?? textIn(reply, 'id') });
