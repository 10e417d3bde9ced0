// A VM's memory, written by QEMU itself as an internal snapshot into a volume of its own and read back from there. No
// other disk is touched: they are as the guest left them, because it is held still while its memory is saved.
import type { SavedMemory, VolumePlace } from '#contracts';
import { DatastoreFull, HostCommandFailed } from '#contracts';
import type { Fault, Result } from '#kernel';
import { failed, ok } from '#kernel';
import { z } from 'zod';
import { isRefusal } from '../qmp/errors.ts';
import type { Monitor } from '../qmp/monitor.socket.ts';
import type { QmpEvent } from '../qmp/wire.ts';
import { rootPortIndex } from './command-line.ts';

const node = 'memory';
const tag = 'memory';
/** A job says when it has ended; it is asked all the same, should that not be heard. */
const jobPauseMs = 200;

const Jobs = z.array(z.object({ id: z.string(), status: z.string(), error: z.string().optional() }));
const Nodes = z.array(z.object({ 'node-name': z.string().optional(), image: z.object({ snapshots: z.array(z.object({ name: z.string() })).optional() }).optional() }));

/** Holds the guest still and writes its memory; a guest that ran and whose memory cannot be written goes on. `begun` is called while QEMU writes. */
export async function saveMemory(monitor: Monitor, place: VolumePlace, begun?: () => Promise<void> | undefined): Promise<Result<SavedMemory>> {
  const ran = (await monitor.status()) === 'running';
  await monitor.execute('stop');
  try {
    await addNode(monitor, place);
    // What an agent wrote that died over it.
    if (await hasSnapshot(monitor)) await job(monitor, 'snapshot-delete', { tag, devices: [node] });
    await job(monitor, 'snapshot-save', { tag, vmstate: node, devices: [node] }, begun);
    const saved = await madeLike(monitor);
    await dropNode(monitor);
    return ok(saved);
  } catch (error) {
    await dropNode(monitor);
    if (ran) await monitor.execute('cont');
    if (error instanceof JobFailed) return failed(error.faultOn(place));
    throw error;
  }
}

/** Into a QEMU that has not begun: its guest is then where it was, held still. */
export async function loadMemory(monitor: Monitor, place: VolumePlace): Promise<void> {
  // QEMU reads in small pieces, and each would be a way to another thread and back. Not every QEMU, and not every kernel, can.
  await addNode(monitor, place, { aio: 'io_uring' }).catch((error: unknown) => {
    if (!isRefusal(error)) throw error;
    return addNode(monitor, place);
  });
  await job(monitor, 'snapshot-load', { tag, vmstate: node, devices: [node] });
  await dropNode(monitor);
}

/** QEMU lets go of the volume that an agent left in it which died while the memory was written or read. */
export async function letGoOfMemory(monitor: Monitor): Promise<void> {
  await letJobsEnd(monitor);
  await dropNode(monitor);
}

async function addNode(monitor: Monitor, { datastorePath, relativePath, format }: VolumePlace, access: { readonly aio?: 'io_uring' } = {}): Promise<void> {
  await letGoOfMemory(monitor);
  const filename = `${datastorePath.replace(/\/+$/, '')}/${relativePath}`;
  await monitor.execute('blockdev-add', { driver: format, 'node-name': node, file: { driver: 'file', filename, ...access } });
}

async function dropNode(monitor: Monitor): Promise<void> {
  if ((await monitor.blockNodes()).includes(node)) await monitor.execute('blockdev-del', { 'node-name': node });
}

async function hasSnapshot(monitor: Monitor): Promise<boolean> {
  const nodes = Nodes.parse(await monitor.execute('query-named-block-nodes', { flat: false }));
  return nodes.find((one) => one['node-name'] === node)?.image?.snapshots?.some(({ name }) => name === tag) === true;
}

async function madeLike(monitor: Monitor): Promise<SavedMemory> {
  const type = z.string().parse(await monitor.execute('qom-get', { path: '/machine', property: 'type' }));
  const rootPorts = (await monitor.deviceIds()).flatMap((id) => rootPortIndex(id) ?? []);
  return { machine: type.replace(/-machine$/, ''), rootPorts: rootPorts.sort((a, b) => a - b) };
}

const jobCommands = ['snapshot-save', 'snapshot-load', 'snapshot-delete'] as const;
type JobCommand = (typeof jobCommands)[number];
const idOf = (command: JobCommand): string => `${command}-${tag}`;
const ownIds: ReadonlySet<string> = new Set(jobCommands.map(idOf));

/** Runs a job to its end; rejects with JobFailed. */
async function job(monitor: Monitor, command: JobCommand, args: Readonly<Record<string, unknown>>, begun?: () => Promise<void> | undefined): Promise<void> {
  const id = idOf(command);
  const ended = toldEnd(monitor, id);
  await monitor.execute(command, { 'job-id': id, ...args });
  await begun?.();
  const error = await endOf(monitor, id, ended);
  if (error !== undefined) throw new JobFailed(command, error);
}

const toldEnd = (monitor: Monitor, id: string): Promise<unknown> =>
  monitor.nextEvent(({ name, data }: QmpEvent) => name === 'JOB_STATUS_CHANGE' && data['id'] === id && data['status'] === 'concluded', jobPauseMs);

const jobsOf = async (monitor: Monitor): Promise<z.output<typeof Jobs>> => Jobs.parse(await monitor.execute('query-jobs'));

/** Waits until the job has ended and takes it from QEMU's list; answers its error. */
async function endOf(monitor: Monitor, id: string, told: Promise<unknown>): Promise<string | undefined> {
  for (let ended = told; ; ended = toldEnd(monitor, id)) {
    await ended;
    const found = (await jobsOf(monitor)).find((one) => one.id === id);
    if (found?.status !== 'concluded') continue;
    await monitor.execute('job-dismiss', { id });
    return found.error;
  }
}

/** QEMU goes on with the job of an agent that died over it, and keeps it on its list: nothing of its name can begin before. */
async function letJobsEnd(monitor: Monitor): Promise<void> {
  for (const { id } of await jobsOf(monitor)) if (ownIds.has(id)) await endOf(monitor, id, toldEnd(monitor, id));
}

export class JobFailed extends Error {
  constructor(private readonly command: string, private readonly words: string) {
    super(`QEMU could not carry out ${command}: ${words}`);
  }

  /** QEMU gives the text of errno and no more. */
  faultOn({ datastoreId }: VolumePlace): Fault {
    if (!/No space left/i.test(this.words)) return HostCommandFailed.fault(`${this.message}.`, { reason: this.words });
    return DatastoreFull.fault(`The datastore has no room left (${this.command}).`, { datastoreId, freeBytes: 0, neededBytes: 0 });
  }
}
