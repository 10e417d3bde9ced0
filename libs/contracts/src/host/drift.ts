// What the pool asks hosts when it compares, and the few things it has them put right. Each looks once more for itself before
// it does something: what has an owner by then is refused.
import { z } from 'zod';
import { defineHostCommand } from '../define.ts';
import { CommandRunning, HostCommandFailed, InUse, JournalFailed, NotFoundOnHost } from '../errors.ts';
import { DatastoreId, NicId, VmId } from '../ids.ts';
import { Bytes, Done } from '../values.ts';
import { CommandId, afterPath, filesPerPage, nextPath } from './shapes.ts';

const command = { commandId: CommandId };
const errors = [CommandRunning, JournalFailed, HostCommandFailed];
const Ifname = z.string().regex(/^[A-Za-z0-9_.-]{1,15}$/);

export const hostQemuEnd = defineHostCommand('qemu.end', {
  summary: 'End a QEMU process that is no VM of this host', actor: 'host', probe: 'qemu-process', timeoutMs: 20_000,
  input: z.strictObject({ ...command, pid: z.int().min(2), startTicks: z.int().describe('with the pid, one process of this boot') }), reply: Done, errors: [...errors, InUse],
});

/** `nic` = a port of a VM; `tap` = its end in the kernel, without a port; `dhcp` = where addresses are given; `foreign` = nobody here has made it. */
export const SurveyedPort = z.strictObject({
  ifname: z.string(), bridge: z.string().nullable(), kind: z.enum(['nic', 'tap', 'dhcp', 'foreign']), vmId: z.string().nullable(), nicId: z.string().nullable(),
  owned: z.boolean().describe('a VM that runs, or is being started, has it'),
});
export const hostSwitchSurvey = defineHostCommand('switch.survey', {
  summary: 'Every switch and port of ours on the host, whether a VM has it, and what VMs that run lack', actor: 'host', probe: 'read-only',
  input: z.strictObject({}),
  reply: z.strictObject({
    switches: z.array(z.strictObject({ switchId: z.string(), bridge: z.string(), generation: z.int() })),
    ports: z.array(SurveyedPort),
    missing: z.array(z.strictObject({ vmId: VmId, nicId: NicId, ifname: z.string(), tap: z.boolean().describe('the tap is there: the guest can be joined again') })),
  }), errors: [HostCommandFailed],
});
export const hostPortRemove = defineHostCommand('port.remove', {
  summary: 'Remove a port or tap that no VM has', actor: 'host', probe: 'switch',
  input: z.strictObject({ ...command, ifname: Ifname, foreign: z.boolean().default(false).describe('also one that nobody here has made') }), reply: Done, errors: [...errors, InUse],
});
export const hostPortMend = defineHostCommand('port.mend', {
  summary: 'Make the port of a NIC of a VM that runs anew', actor: 'host', probe: 'switch',
  input: z.strictObject({ ...command, vmId: VmId, nicId: NicId }), reply: Done, errors: [...errors, NotFoundOnHost],
});

const datastorePath = z.string().startsWith('/').max(500);
/** As the survey of a datastore names it: below `volumes`, `images` or `.staging`. */
export const SurveyedPath = z.string().regex(/^(volumes|images|\.staging)\/[^/\0]{1,255}$/);
/** `draft`, `record` = what goes with a volume; `foreign` = a name that nobody here gives. */
export const SurveyedFile = z.strictObject({
  path: SurveyedPath, kind: z.enum(['volume', 'draft', 'record', 'upload', 'foreign']), id: z.string().nullable().describe('of the volume or upload'),
  sizeBytes: Bytes, modifiedMs: z.int().describe('when it was written to, by whatever clock: two looks compare it'), kept: z.boolean().describe('it is in quarantine'),
});
export type SurveyedFile = z.infer<typeof SurveyedFile>;
export const hostDatastoreSurvey = defineHostCommand('datastore.survey', {
  summary: 'The files among the volumes, images and uploads of a datastore, and in its quarantine, by their paths', actor: 'host', probe: 'read-only',
  input: z.strictObject({ datastoreId: DatastoreId, path: datastorePath, ...afterPath }), reply: z.strictObject({ files: z.array(SurveyedFile).max(filesPerPage), next: nextPath }), errors: [HostCommandFailed],
});
const file = { ...command, datastoreId: DatastoreId, datastorePath, path: SurveyedPath };
export const hostFileKeep = defineHostCommand('file.keep', {
  summary: 'Move a file into the quarantine of its datastore; refused while a process has it open or an image lies over it', actor: 'host', probe: 'file',
  input: z.strictObject({ ...file, sizeBytes: Bytes, modifiedMs: z.int() }), reply: Done, errors: [...errors, InUse],
});
export const hostFileRelease = defineHostCommand('file.release', { summary: 'Move a file out of the quarantine to where it was', actor: 'host', probe: 'file', input: z.strictObject(file), reply: Done, errors });
export const hostFilePurge = defineHostCommand('file.purge', { summary: 'Delete a file that is in quarantine, and no other', actor: 'host', probe: 'file', input: z.strictObject(file), reply: Done, errors });

export const hostDriftCommands = [hostQemuEnd, hostSwitchSurvey, hostPortRemove, hostPortMend, hostDatastoreSurvey, hostFileKeep, hostFileRelease, hostFilePurge] as const;
