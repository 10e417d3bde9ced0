// A VM's memory, written by QEMU itself as an internal snapshot into a volume of its own and read back from there. No
// other disk is touched: they are as the guest left them, because it is held still while its memory is saved.
import type { SavedMemory, VolumePlace } from '#contracts';
import { DatastoreFull, HostCommandFailed } from '#contracts';
import type { Fault, Result } from '#kernel';
import { failed, ok } from '#kernel';
import { z } from 'zod';
import type { Monitor } from '../qmp/monitor.socket.ts';
import type { QmpEvent } from '../qmp/wire.ts';
import { rootPortIndex } from './command-line.ts';

const node = 'memory';
const tag = 'memory';
/** A job says when it has ended; it is asked all the same, should that not be heard. */
const jobPauseMs = 200;

const Jobs = z.array(z.object({ id: z.string(), status: z.string(), error: z.string().optional() }));
const Nodes = z.array(z.object({ 'node-name': z.string().optional(), image: z.object({ snapshots: z.array(z.object({ name: z.string() })).optional() }).optional() }));

/** Holds the guest still and writes its memory; a guest that ran and whose memory cannot be written goes on. */
export async function saveMemory(monitor: Monitor, place: VolumePlace): Promise<Result<SavedMemory>> {
  const ran = (await monitor.status()) === 'running';
  await monitor.execute('stop');
  try {
    await addNode(monitor, place);
    // What an agent wrote that died over it.
    if (await hasSnapshot(monitor)) await job(monitor, 'snapshot-delete', { tag, devices: [node] });
    await job(monitor, 'snapshot-save', { tag, vmstate: node, devices: [node] });
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
  await addNode(monitor, place);
  await job(monitor, 'snapshot-load', { tag, vmstate: node, devices: [node] });
  await dropNode(monitor);
}

async function addNode(monitor: Monitor, { datastorePath, relativePath, format }: VolumePlace): Promise<void> {
  await dropNode(monitor);
  const filename = `${datastorePath.replace(/\/+$/, '')}/${relativePath}`;
  await monitor.execute('blockdev-add', { driver: format, 'node-name': node, file: { driver: 'file', filename } });
}

/** One that an agent left which died over it goes first. */
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

/** Runs a job to its end; rejects with JobFailed. */
async function job(monitor: Monitor, command: string, args: Readonly<Record<string, unknown>>): Promise<void> {
  const id = `${command}-${tag}`;
  const hasEnded = ({ name, data }: QmpEvent): boolean => name === 'JOB_STATUS_CHANGE' && data['id'] === id && data['status'] === 'concluded';
  let ended = monitor.nextEvent(hasEnded, jobPauseMs);
  await monitor.execute(command, { 'job-id': id, ...args });
  for (;; ended = monitor.nextEvent(hasEnded, jobPauseMs)) {
    await ended;
    const found = Jobs.parse(await monitor.execute('query-jobs')).find((one) => one.id === id);
    if (found?.status === 'concluded') {
      await monitor.execute('job-dismiss', { id });
      if (found.error !== undefined) throw new JobFailed(command, found.error);
      return;
    }
  }
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
