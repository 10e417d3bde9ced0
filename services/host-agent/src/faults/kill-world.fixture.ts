// A host on which agents are killed: the agent as it is delivered, with real QEMU, volumes, cgroups and Open vSwitch in a
// network namespace of its own; and looks at what is there that need no agent.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { HostNic, SwitchId, hostSwitchApply, hostSwitchRemove, hostVmDelete, hostVmPowerOff, hostVolumeDelete } from '#contracts';
import type { HostOperation, ReplyOf, RequestOf, VmId, VolumePlace } from '#contracts';
import { newUuid, orThrow } from '#kernel';
import { AgentLab, commandLineOf } from '../agent-lab.fixture.ts';
import { outputOf } from '../run-command.ts';
import { inside, SwitchLab } from '../switch/switch-lab.testing.ts';
import { startTicksOf } from '../vm/process-table.proc.ts';
import { isMissing } from '../vm/vm-directory.store.ts';
import { createVolumeDriver } from '../volume/volume.driver.ts';
import { MiB, TestDatastore, work } from '../volume/volume.testing.ts';

/** The delivered default: no user of a machine has it. */
const templateGid = 199_999;
const root = join(import.meta.dirname, '..', '..', '..', '..');
const looked = ['volumes', 'images', '.staging', '.quarantine'];

interface Parts { readonly lab: AgentLab; readonly ovs: SwitchLab; readonly store: TestDatastore; readonly link: ChildProcess }

export class KillWorld {
  /** The switch that VMs of the trials have their ports on. */
  readonly switchId = SwitchId.parse(newUuid());
  /** In this process, to make things that are there before a command. */
  readonly volumes = createVolumeDriver({ templateGid });
  readonly lab: AgentLab;
  readonly ovs: SwitchLab;
  readonly store: TestDatastore;
  /** What trials copy from: a quick one, and one that takes a while. */
  readonly source: VolumePlace;
  readonly largeSource: VolumePlace;
  readonly cgroup = `tok-test-kill-${process.pid}`;
  /** The bridge of `switchId`. */
  bridge = '';
  private count = 0;

  private constructor(private readonly parts: Parts) {
    ({ lab: this.lab, ovs: this.ovs, store: this.store } = parts);
    this.source = this.store.place('volumes', 'raw');
    this.largeSource = this.store.place('volumes', 'raw');
    for (const [place, bytes] of [[this.source, MiB], [this.largeSource, 128 * MiB]] as const) writeFileSync(this.store.file(place), Buffer.alloc(bytes, 0xa5));
  }

  static async open(): Promise<KillWorld> {
    const ovs = await SwitchLab.start();
    const lab = await AgentLab.open();
    const store = await TestDatastore.make(createVolumeDriver({ templateGid }));
    const port = new URL(process.env['TOK_TEST_NATS_URL'] ?? '').port;
    const link = spawn(process.execPath, [join(root, 'tools/lab.d/bus-link.mjs'), ovs.host, port], { stdio: 'ignore' });
    lab.run.around.push(...inside(ovs.host));
    lab.run.program = 'host-agent';
    Object.assign(lab.run.environment, { ...ovs.env, TOK_OVS_RUNDIR: ovs.rundir, TOK_TEMPLATE_GID: String(templateGid) });
    const world = new KillWorld({ lab, ovs, store, link });
    lab.run.environment['TOK_CGROUP_NAME'] = world.cgroup;
    return world;
  }

  /** Once there is an agent. */
  async makeSwitch(): Promise<void> {
    this.bridge = (await this.done(hostSwitchApply, { commandId: newUuid(), switchId: this.switchId, name: 'kills', mtu: 1500, uplinks: [], generation: 1 })).bridge;
  }

  /** For what goes before a trial and after it: however long a busy machine takes. Throws with the agent's last words. */
  async done<O extends HostOperation>(operation: O, input: RequestOf<O>): Promise<ReplyOf<O>> {
    const answer = await this.lab.ask(operation, input, 60_000);
    if (answer.ok) return answer.value;
    throw new Error(`${operation.name}: ${answer.fault.code}: ${answer.fault.detail} The agent's log ends with:\n${this.lab.log().trimEnd().split('\n').slice(-8).join('\n')}`);
  }

  /** A number that no other trial has. */
  next(): number {
    this.count += 1;
    return this.count;
  }

  nic(): HostNic {
    const last = String(this.next()).padStart(4, '0');
    return HostNic.parse({
      nicId: newUuid(), slot: 0, portId: newUuid(), portGroupId: newUuid(), switchId: this.switchId, mac: `52:54:00:55:${last.slice(0, 2)}:${last.slice(2)}`,
      vlan: 10, mtu: 1500, ip: null, subnet: null, bootIndex: null,
    });
  }

  inside(...argv: string[]): Promise<string> {
    return outputOf(inside(this.ovs.host, ...argv), { deadlineMs: 15_000 }).then(orThrow);
  }

  /** Rows of Open vSwitch that have this external id; each with the columns asked for. */
  async found(table: 'bridge' | 'port', id: string, value: string, ...columns: string[]): Promise<string[]> {
    const { code, stdout, stderr } = await this.ovs.vsctl('--format=csv', '--no-headings', `--columns=${['_uuid', ...columns].join(',')}`, 'find', table, `external_ids:${id}="${value}"`);
    if (code !== 0) throw new Error(`Open vSwitch cannot be looked at: ${stderr}`);
    return stdout.split('\n').filter((line) => line !== '');
  }

  /** Names among the volumes, images, uploads and what is in quarantine that hold an id, which reads `ID` in them. */
  filesOf(id: string): string[] {
    const all = looked.flatMap((directory) => namesIn(join(this.store.path, directory)).map((name) => `${directory}/${name}`));
    return all.filter((path) => path.includes(id)).map((path) => path.replaceAll(id, 'ID')).sort();
  }

  /** QEMUs of a VM, as pid and start. */
  async qemusOf(vmId: string): Promise<string[]> {
    return (await running(vmId)).filter(({ argv }) => argv[0]?.includes('qemu-system-')).map(({ pid, startTicks }) => `${pid} ${startTicks}`);
  }

  /** What the lines of the host's journals about a command are, in their order: `intent`, `result`, `dropped`. */
  journaled(commandId: string): string[] {
    const vms = join(this.lab.dir, 'vms');
    const journals = [join(this.lab.dir, 'host.ndjson'), ...namesIn(vms).map((vmId) => join(vms, vmId, 'journal.ndjson'))];
    const records = journals.flatMap((path) => unlessGone(() => readFileSync(path, 'utf8'), '').split('\n').filter((line) => line.includes(commandId)).map((line) => JSON.parse(line.slice(line.indexOf(' '))) as { type: string; commandId?: string }));
    return records.filter((record) => record.commandId === commandId).map(({ type }) => type);
  }

  async endVm(vmId: VmId): Promise<void> {
    await this.done(hostVmPowerOff, { commandId: newUuid(), vmId, epoch: 1 });
    await this.done(hostVmDelete, { commandId: newUuid(), vmId, epoch: 1 });
  }

  async deleteVolume(place: VolumePlace): Promise<void> {
    await this.done(hostVolumeDelete, { commandId: newUuid(), place });
  }

  /** Ports of the trials' switch that are called so. */
  async portsNamed(name: string): Promise<string[]> {
    return (await this.ovs.vsctl('list-ports', this.bridge)).stdout.split('\n').filter((one) => one === name);
  }

  /** What no trial may leave: processes, directories of VMs, files, ports, taps, switches. Nought of each. */
  async leftovers(): Promise<Record<string, readonly string[]>> {
    const sources: string[] = [this.source.relativePath, this.largeSource.relativePath];
    const { files } = orThrow(await this.volumes.survey({ datastoreId: this.store.datastoreId, path: this.store.path, after: '' }, work()));
    return {
      programs: [...(await running(this.lab.dir)), ...(await running(this.store.path))].map(({ argv }) => argv.join(' ')),
      vms: namesIn(join(this.lab.dir, 'vms')),
      files: files.map(({ path }) => path).filter((path) => !sources.includes(path)),
      taps: (await this.ovs.links()).filter((name) => /^(tap|kill)/.test(name)),
      ports: (await this.ovs.vsctl('list-ports', this.bridge)).stdout.split('\n').filter(Boolean),
      bridges: (await this.ovs.vsctl('list-br')).stdout.split('\n').filter((name) => name !== '' && name !== this.bridge),
    };
  }

  async close(): Promise<void> {
    const { lab, ovs, store, link } = this.parts;
    if (this.bridge !== '') await lab.ask(hostSwitchRemove, { commandId: newUuid(), switchId: this.switchId });
    await lab.close();
    link.kill('SIGKILL');
    await ovs.stop();
    await store.remove();
    for (const controller of readdirSync('/sys/fs/cgroup')) {
      const group = join('/sys/fs/cgroup', controller, this.cgroup);
      for (const { name } of existsSync(group) ? readdirSync(group, { withFileTypes: true }).filter((entry) => entry.isDirectory()) : []) rmdirSync(join(group, name));
      if (existsSync(group)) rmdirSync(group);
    }
  }
}

/** What runs on this machine and has a word in its command line. */
export async function running(word: string): Promise<{ pid: number; startTicks: number; argv: string[] }[]> {
  const named = readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map((pid) => ({ pid: Number(pid), cmdline: commandLineOf(pid) })).filter(({ cmdline }) => cmdline.includes(word));
  const all = await Promise.all(named.map(async ({ pid, cmdline }) => ({ pid, startTicks: await startTicksOf(pid), argv: cmdline.split('\0').slice(0, -1) })));
  return all.flatMap(({ startTicks, ...one }) => (startTicks === null ? [] : [{ ...one, startTicks }]));
}

const namesIn = (directory: string): string[] => unlessGone(() => readdirSync(directory), []);

/** What is read; or `none`, where it is not there: what another trial is just deleting goes at any moment. */
function unlessGone<T>(read: () => T, none: T): T {
  try {
    return read();
  } catch (error) {
    if (isMissing(error)) return none;
    throw error;
  }
}
