// Shapes that many contracts share: names, sizes, pages, the reference to a task, the acting user.
import { z } from 'zod';
import { permissions } from './permissions.ts';
import { FolderId, TaskId, UserId } from './ids.ts';

/** What people call an object: 1 to 63 characters, letters and digits of any script, space, dot, dash, underscore; starts and ends with a letter or digit. */
export const Name = z.string().min(1).max(63)
  .regex(/^[\p{L}\p{N}]([\p{L}\p{N} ._-]*[\p{L}\p{N}])?$/u, 'letters, digits, space, dot, dash and underscore; starts and ends with a letter or digit');
export const Description = z.string().max(1000).regex(/^[^\p{Cc}]*$/u, 'no control characters');
export const Labels = z.record(z.string().regex(/^[a-z0-9]([a-z0-9._/-]{0,61}[a-z0-9])?$/), z.string().max(63).regex(/^[^\p{Cc}]*$/u)).refine((labels) => Object.keys(labels).length <= 32, 'at most 32 labels');
/** A user's immutable name on the bus; never reused. */
export const Handle = z.string().regex(/^[a-z0-9][a-z0-9_-]{0,31}$/, 'a-z, 0-9, dash, underscore; 1 to 32 characters');

export const MiB = 1024 * 1024;
export const GiB = 1024 * MiB;
export const TiB = 1024 * GiB;
/** A byte count that JSON numbers carry exactly. */
export const Bytes = z.int().min(0);
export const VolumeBytes = z.int().min(MiB, 'at least 1 MiB').max(64 * TiB, 'at most 64 TiB').multipleOf(512);
export const MemoryBytes = z.int().min(16 * MiB, 'at least 16 MiB').max(16 * TiB, 'at most 16 TiB').multipleOf(MiB, 'whole MiB');

export const Ipv4 = z.ipv4();
export const Cidr4 = z.cidrv4();
export const Mac = z.string().regex(/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/, 'six lower-case hex pairs with colons').refine((mac) => (parseInt(mac.slice(0, 2), 16) & 1) === 0, 'not a multicast address');
export const VlanId = z.int().min(0).max(4094);
export const At = z.iso.datetime().meta({ id: 'Time' });

/** What every object carries. `number` is small and unique per noun, for outside APIs with short ids. */
export const objectFields = {
  number: z.int(),
  version: z.int(),
  createdAt: At,
  updatedAt: At,
};
export const ownedFields = { ...objectFields, ownerId: UserId.nullable(), folderId: FolderId.nullable() };

export const TaskRef = z.strictObject({ taskId: TaskId, objectId: z.string().describe('the object that the task makes or changes') }).meta({ id: 'TaskRef' });
export type TaskRef = z.infer<typeof TaskRef>;
export const Done = z.strictObject({}).meta({ id: 'Done' });

/** Query strings carry text: these accept both forms. */
const numberText = (schema: z.ZodInt) => z.preprocess((value) => (typeof value === 'string' && /^\d{1,15}$/.test(value) ? Number(value) : value), schema);
export const pageInput = {
  limit: numberText(z.int().min(1).max(500)).default(100).describe('objects per page'),
  cursor: z.string().max(1000).optional().describe('the `next` of the page before'),
};
export const queryNumber = (min: number, max: number) => numberText(z.int().min(min).max(max));
/** A place in the event log: the globalSeq of an event. */
export const queryPosition = numberText(z.int().min(0));
/** A yes or no that may come as text. */
export const queryFlag = z.preprocess((value) => (value === 'true' ? true : value === 'false' ? false : value), z.boolean());
export const pageOf = <T extends z.ZodType>(item: T) => z.strictObject({ items: z.array(item), next: z.string().nullable().describe('cursor of the next page; null on the last') });

/** A right: permissions within a scope. `scopeId` is null for the whole site. */
export const Right = z.strictObject({
  permissions: z.array(z.enum(permissions)),
  scope: z.enum(['site', 'cluster', 'folder', 'object']),
  scopeId: z.string().nullable(),
  below: z.array(z.string()).optional().describe('folders within the folder of scopeId, which the right reaches too'),
});
export type Right = z.infer<typeof Right>;
/** The acting user, as auth signed it; travels as header `Tok-Actor` and into tasks. */
export const Actor = z.strictObject({ userId: UserId, handle: Handle, rights: z.array(Right) }).meta({ id: 'Actor' });
export type Actor = z.infer<typeof Actor>;
