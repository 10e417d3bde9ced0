// Folders: a tree that objects are filed in, and a scope for grants.
import { z } from 'zod';
import { defineCommand, defineEvent, defineQuery } from '../define.ts';
import { InUse, NameTaken, NotFound, VersionConflict } from '../errors.ts';
import { FolderId } from '../ids.ts';
import { listInput, searchInput } from '../list.ts';
import { Description, Done, Name, objectFields, pageOf } from '../values.ts';

export const Folder = z.strictObject({ id: FolderId, parentId: FolderId.nullable().describe('the folder it is in; null = at the top'), name: Name, description: Description, folders: z.int(), vms: z.int(), ...objectFields }).meta({ id: 'Folder' });
export type Folder = z.infer<typeof Folder>;
export const createFolder = defineCommand('compute.folder.create', { dryRun: true, summary: 'Make a folder; names are unique within the folder above', http: 'POST /v1/folders', permission: 'folder.write', input: z.strictObject({ name: Name, description: Description.default(''), parentId: FolderId.nullable().default(null) }), reply: Folder, errors: [NameTaken, NotFound] });
export const listFolders = defineQuery('compute.folder.list', { summary: 'List folders', http: 'GET /v1/folders', permission: 'folder.read', input: z.strictObject({ ...listInput(Folder, ['name', 'createdAt']), ...searchInput(), name: Name.optional(), parentId: FolderId.optional().describe('those directly in this folder') }), reply: pageOf(Folder) });
export const getFolder = defineQuery('compute.folder.get', { summary: 'Show a folder', http: 'GET /v1/folders/:folderId', permission: 'folder.read', on: 'folderId', input: z.strictObject({ folderId: FolderId }), reply: Folder, errors: [NotFound] });
export const updateFolder = defineCommand('compute.folder.update', { dryRun: true, summary: 'Rename a folder, describe it, or move it with all that is in it', http: 'PATCH /v1/folders/:folderId', permission: 'folder.write', on: 'folderId', input: z.strictObject({ folderId: FolderId, name: Name.optional(), description: Description.optional(), parentId: FolderId.nullable().optional(), version: z.int().optional() }), reply: Folder, errors: [NotFound, NameTaken, VersionConflict] });
export const deleteFolder = defineCommand('compute.folder.delete', { dryRun: true, summary: 'Delete an empty folder', http: 'DELETE /v1/folders/:folderId', permission: 'folder.write', on: 'folderId', input: z.strictObject({ folderId: FolderId }), reply: Done, errors: [NotFound, InUse] });

/** For the owners of what is filed: they know ids of folders, and compute the tree. */
export const foldersBelow = defineQuery('compute.folder.below', { summary: 'The ids of a folder and of all folders below it', permission: 'internal', input: z.strictObject({ folderId: FolderId }), reply: z.strictObject({ folderIds: z.array(FolderId) }), errors: [NotFound] });

export const folderChanged = defineEvent('compute.folder.changed', { summary: 'A folder was made, changed or moved', data: z.strictObject({ folder: Folder }) });
export const folderDeleted = defineEvent('compute.folder.deleted', { summary: 'A folder was deleted', data: z.strictObject({ folderId: FolderId }) });
