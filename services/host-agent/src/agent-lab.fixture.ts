// One host with an agent as a real process over real NATS, for tests: start it, kill it, ask it, listen to it.
import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { NatsConnection } from '@nats-io/transport-node';
import { connect } from '@nats-io/transport-node';
import { BusClient } from '#bus';
import { HostVmSpec, VolumePlace, hostStatus, hostVmPowerOff, hostVmStart, hostVmStatus } from '#contracts';
import type { BodyOf, HostOperation, HostVmStatus, ReplyOf, RequestOf, hostVmChanged } from '#contracts';
import { newUuid, orThrow } from '#kernel';
import type { Result } from '#kernel';
import { until } from '#testing';
import { startTicksOf } from './vm/process-table.proc.ts';

const MiB = 1024 * 1024;
export const uidOf = (index: number): number => 230_000 + index;

/** Firmware alone, 16 MiB: enough to start, stop and be looked at. */
export const smallVm = (index: number, more: Partial<HostVmSpec> = {}): HostVmSpec => HostVmSpec.parse({
  vmId: newUuid(), name: `vm ${index}`, uid: uidOf(index), cpu: { sockets: 1, cores: 1, threads: 1 }, cpuModel: 'qemu64', cpuService: {}, memoryBytes: 16 * MiB, memoryService: {},
  firmware: 'bios', disks: [], nics: [], ...more,
});

export class AgentLab {
  readonly hostId = newUuid();
  readonly dir = mkdtempSync(join(tmpdir(), 'tok-agent-'));
  readonly logFile = join(this.dir, 'agent.log');
  private child: ChildProcess | undefined;
  private exited: Promise<number | null> = Promise.resolve(null);

  private constructor(readonly nats: NatsConnection, readonly bus: BusClient, private readonly url: string) {
    chmodSync(this.dir, 0o755);
  }

  static async open(url: string = process.env['TOK_TEST_NATS_URL'] ?? ''): Promise<AgentLab> {
    const nats = await connect({ servers: url, maxReconnectAttempts: -1, reconnectTimeWait: 100 });
    return new AgentLab(nats, new BusClient({ connection: nats, service: 'compute' }), url);
  }

  /** How the agent is run: by a program around it (`nsenter`), and which of the two, with simple drivers or with its own. */
  readonly run = { around: [] as string[], program: 'agent' as 'agent' | 'host-agent', environment: {} as Record<string, string> };

  /** Starts the agent's process; resolves at once. */
  spawnAgent(environment: Readonly<Record<string, string>> = {}): void {
    const log = openSync(this.logFile, 'a');
    const argv = [...this.run.around, process.execPath, join(process.env['TOK_TEST_PROGRAMS'] ?? '', 'host-agent', `${this.run.program}.js`)];
    const child = spawn(argv[0]!, argv.slice(1), {
      env: { PATH: process.env['PATH'], TOK_NATS_URL: this.url, TOK_HOST_ID: this.hostId, TOK_HOST_NAME: 'test-host', TOK_HOST_DIR: this.dir, TOK_OVS_RUNDIR: join(this.dir, 'ovs'), TOK_LOG_LEVEL: 'debug', ...this.run.environment, ...environment },
      stdio: ['ignore', log, log],
    });
    this.child = child;
    this.exited = new Promise((resolve) => child.once('exit', resolve));
  }

  /** Starts the agent and waits until it takes commands. */
  async start(environment: Readonly<Record<string, string>> = {}): Promise<void> {
    this.spawnAgent(environment);
    await until(`the agent takes commands; its log: ${this.logFile}`, async () => {
      if (this.child?.exitCode !== null) throw new Error(`the agent has ended:\n${readFileSync(this.logFile, 'utf8')}`);
      return (await this.ask(hostStatus, {}, 500)).ok;
    }, 30_000);
  }

  signal(signal: NodeJS.Signals): void {
    this.child?.kill(signal);
  }

  get pid(): number {
    return this.child?.pid ?? 0;
  }

  ended(): Promise<number | null> {
    return this.exited;
  }

  async kill(): Promise<void> {
    this.signal('SIGKILL');
    await this.exited;
  }

  ask<O extends HostOperation>(operation: O, input: RequestOf<O>, timeoutMs = 20_000): Promise<Result<ReplyOf<O>>> {
    return this.bus.requestHost(this.hostId, operation, input, { as: 'system', timeoutMs });
  }

  async startVm(spec: HostVmSpec, epoch = 1, commandId = newUuid()): Promise<HostVmStatus> {
    return orThrow(await this.ask(hostVmStart, { commandId, vmId: spec.vmId, epoch, spec, paused: false }));
  }

  async powerOff(vmId: HostVmSpec['vmId'], epoch = 1): Promise<HostVmStatus> {
    return orThrow(await this.ask(hostVmPowerOff, { commandId: newUuid(), vmId, epoch }));
  }

  async status(vmId: HostVmSpec['vmId']): Promise<HostVmStatus> {
    return orThrow(await this.ask(hostVmStatus, { vmId }));
  }

  /** Collects a kind of report of this host. */
  reports(name: string): BodyOf<typeof hostVmChanged>[] {
    const all: BodyOf<typeof hostVmChanged>[] = [];
    this.nats.subscribe(`tok.v1.rpt.${this.hostId}.${name}`, { callback: (_error, message) => { all.push(message.json()); } });
    return all;
  }

  /** What the agents of this host have logged so far. */
  log(): string {
    return readFileSync(this.logFile, 'utf8');
  }

  /** A volume as storage makes it for a VM: nothing is in it. */
  volume(uid: number, format: 'raw' | 'qcow2', sizeBytes: number): VolumePlace {
    const volumeId = newUuid();
    const place = VolumePlace.parse({ volumeId, datastoreId: newUuid(), datastorePath: this.dir, relativePath: `volumes/${volumeId}.${format}`, format });
    const file = join(this.dir, place.relativePath);
    mkdirSync(join(this.dir, 'volumes'), { recursive: true, mode: 0o755 });
    if (format === 'raw') writeFileSync(file, '');
    else spawnSync('qemu-img', ['create', '-q', '-f', 'qcow2', file, String(sizeBytes)]);
    if (format === 'raw') truncateSync(file, sizeBytes);
    chownSync(file, uid, uid);
    chmodSync(file, 0o600);
    return place;
  }

  /** With a volume for its variables. */
  uefiVm(index: number, more: Partial<HostVmSpec> = {}): HostVmSpec {
    return smallVm(index, { firmware: 'uefi', memoryBytes: 64 * MiB, uefiVars: this.volume(uidOf(index), 'raw', 2 * MiB), ...more });
  }

  vmDir(vmId: string): string {
    return join(this.dir, 'vms', vmId);
  }

  /** Once, what switches a q35 machine off as ACPI does: its firmware must have set up the power registers. */
  async switchOff(vmId: string): Promise<void> {
    await this.writePort(vmId, 'w', 0x604, 0x2000).catch(() => undefined); // its QEMU may be gone before it has answered
  }

  /** What the guest would write to an I/O port, written by the monitor for people. 1 at 0x505 is what pvpanic's driver writes in a panic. */
  async writePort(vmId: string, size: 'b' | 'w', port: number, value: number): Promise<void> {
    await this.tellMonitor(vmId, `o /${size} ${port} ${value}`);
  }

  async readPort(vmId: string, size: 'b' | 'w', port: number): Promise<number> {
    const said = await this.tellMonitor(vmId, `i /${size} ${port}`);
    return Number(/\] = (0x[0-9a-f]+)/.exec(said)?.[1] ?? NaN);
  }

  /** One line to the monitor for people; answers all that it wrote. */
  async tellMonitor(vmId: string, line: string): Promise<string> {
    const socket = createConnection(join(this.vmDir(vmId), 'run', 'hmp.sock'));
    let said = '';
    // The second prompt says that the monitor has carried out the line.
    const done = new Promise<void>((resolve, reject) => {
      socket.once('error', reject).once('close', () => { reject(new Error(`the monitor went away after ${JSON.stringify(said)}`)); });
      socket.on('data', (chunk) => {
        said += chunk.toString();
        if (said.split('(qemu) ').length > 2) resolve();
      });
    });
    socket.write(`${line}\n`);
    await done;
    socket.destroy();
    return said;
  }

  /** Ends the agent, then every QEMU of this host, by pid, then the directory. */
  async close(): Promise<void> {
    await this.kill();
    await this.nats.close();
    for (const pid of qemuPidsOf(this.dir)) await endProcess(pid);
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** Living processes whose command line names the directory of a VM below `dir`. */
export function qemuPidsOf(dir: string): number[] {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name) && commandLineOf(name).includes(`${dir}/vms/`)).map(Number);
}

/** Its arguments, each with a NUL behind it; empty where it has ended. */
export function commandLineOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return ''; // it has ended meanwhile
  }
}

export async function endProcess(pid: number): Promise<void> {
  if (!existsSync(`/proc/${pid}`)) return;
  process.kill(pid, 'SIGKILL');
  await until(`process ${pid} ends`, async () => (await startTicksOf(pid)) === null);
}
