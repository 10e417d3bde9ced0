// Commands that users publish and do not wait for: their outcomes as events, and those that were refused as dead letters.
import { z } from 'zod';
import { defineCommand, defineEvent, defineQuery } from '../define.ts';
import { ErrorBody, NotFound } from '../errors.ts';
import { BusCommandId, UserId } from '../ids.ts';
import { listInput } from '../list.ts';
import { At, Done, pageOf } from '../values.ts';

const published = {
  operation: z.string().describe('<service>.<noun>.<verb> as it stood in the subject'),
  idempotencyKey: z.string().nullable(),
};
const effect = {
  taskId: z.string().nullable().describe('the task that does it, where one does'),
  objectId: z.string().nullable().describe('what was made or changed'),
};

export const DeadLetter = z.strictObject({
  id: BusCommandId, userId: UserId.nullable().describe('null = there is no such user'), user: z.string().describe('the handle in the subject'), ...published,
  error: ErrorBody, publishedAt: At, refusedAt: At, tries: z.int().describe('how often it was refused'),
}).meta({ id: 'DeadLetter' });
export const DeadLetterWithBody = DeadLetter.extend({ body: z.string().describe('what was published, as text') }).meta({ id: 'DeadLetterWithBody' });

export const listDeadLetters = defineQuery('gateway.dead-letter.list', {
  summary: 'Published commands that were refused: yours, or all for whoever may read users on the whole site', http: 'GET /v1/dead-letters', permission: 'authenticated',
  input: z.strictObject({ ...listInput(DeadLetter, ['refusedAt', 'publishedAt'], '-refusedAt'), operation: z.string().max(120).optional(), user: z.string().max(32).optional().describe('handle') }), reply: pageOf(DeadLetter),
});
export const getDeadLetter = defineQuery('gateway.dead-letter.get', {
  summary: 'Show a refused command with its body', http: 'GET /v1/dead-letters/:deadLetterId', permission: 'authenticated', input: z.strictObject({ deadLetterId: BusCommandId }), reply: DeadLetterWithBody, errors: [NotFound],
});
export const retryDeadLetter = defineCommand('gateway.dead-letter.retry', {
  summary: 'Carry out a refused command after all, as the user who published it and under the same key; refused again, it stays', http: 'POST /v1/dead-letters/:deadLetterId/retry', permission: 'authenticated', timeoutMs: 30_000,
  input: z.strictObject({ deadLetterId: BusCommandId }), reply: z.strictObject({ outcome: z.enum(['accepted', 'refused']), ...effect, error: ErrorBody.nullable() }), errors: [NotFound],
});
export const deleteDeadLetter = defineCommand('gateway.dead-letter.delete', {
  summary: 'Forget a refused command', http: 'DELETE /v1/dead-letters/:deadLetterId', permission: 'authenticated', input: z.strictObject({ deadLetterId: BusCommandId }), reply: Done, errors: [NotFound],
});

const outcome = { commandId: BusCommandId, ...published };
export const commandAccepted = defineEvent('gateway.command.accepted', { summary: 'A published command was carried out, or its task has begun', data: z.strictObject({ ...outcome, ...effect }) });
export const commandRefused = defineEvent('gateway.command.refused', { summary: 'A published command was refused; it lies among the dead letters under the same id', data: z.strictObject({ ...outcome, error: ErrorBody }) });
