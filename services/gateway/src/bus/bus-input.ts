// What users send on the bus as the input of an operation: an object without what a door says itself, which is then added. Pure.
import { InvalidArgument, membersOfDoor } from '#contracts';
import type { Result } from '#kernel';
import type { Caller } from '../caller/callers.client.ts';
import { refuseDoorMembers } from '../rest/request.ts';

export const keyWrong = InvalidArgument.fail('The header Idempotency-Key must be 1 to 128 printable ASCII characters.', { issues: [{ path: 'Idempotency-Key', message: '1 to 128 printable ASCII characters' }] });
const notAnObject = InvalidArgument.fail('The body must be a JSON object.', { issues: [{ path: '', message: 'must be a JSON object' }] });

type Named = Parameters<typeof membersOfDoor>[0];

export const readInput = (operation: Named, body: unknown): Result<object> =>
  (typeof body === 'object' && body !== null && !Array.isArray(body) ? refuseDoorMembers(body as Record<string, unknown>, membersOfDoor(operation)) : notAnObject);

export const asksForCaller = (operation: Named): boolean => membersOfDoor(operation).includes('holder');
export const withCaller = (operation: Named, input: object, { holder }: Pick<Caller, 'holder'>): object => (asksForCaller(operation) ? { ...input, holder } : input);
