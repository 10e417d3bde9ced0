// A host of a test's own: a network namespace with a private Open vSwitch, and "VMs" that are namespaces on the other
// end of a tap, joined by QEMU's network hub. Leaves nothing.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { orThrow } from '#kernel';
import { until } from '#testing';
import { outputOf, runCommand } from '../run-command.ts';

const schema = '/usr/share/openvswitch/vswitch.ovsschema';
const run = async (...argv: string[]): Promise<string> => orThrow(await outputOf(argv, { deadlineMs: 15_000 }));
export const inside = (namespace: string, ...argv: string[]): string[] => ['nsenter', `--net=/run/netns/${namespace}`, '--', ...argv];

export class SwitchLab {
  readonly namespaces: string[] = [];
  private readonly children: ChildProcess[] = [];
  private ovs: ChildProcess[] = [];
  private constructor(readonly directory: string, readonly host: string) {}

  get rundir(): string { return join(this.directory, 'ovs'); }
  get stateDir(): string { return join(this.directory, 'state'); }
  get namespace(): string { return `/run/netns/${this.host}`; }

  static async start(): Promise<SwitchLab> {
    const directory = await mkdtemp('/tmp/tok-switch-');
    await chmod(directory, 0o755);
    const lab = new SwitchLab(directory, `t${directory.slice(-6).toLowerCase()}${process.pid}`);
    await mkdir(lab.rundir);
    await mkdir(lab.stateDir);
    await lab.addNamespace(lab.host);
    await run('ovsdb-tool', 'create', join(lab.rundir, 'conf.db'), schema);
    await lab.startOvs();
    return lab;
  }

  async addNamespace(name: string): Promise<void> {
    await run('ip', 'netns', 'add', name);
    this.namespaces.push(name);
    await run('ip', '-n', name, 'link', 'set', 'lo', 'up');
  }

  private spawn(argv: string[]): ChildProcess {
    const child = spawn(argv[0] ?? '', argv.slice(1), { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, ...this.env } });
    child.stderr.resume();
    this.children.push(child);
    return child;
  }

  get env(): Record<string, string> { return { OVS_RUNDIR: this.rundir, OVS_DBDIR: this.rundir, OVS_LOGDIR: this.rundir, OVS_SYSCONFDIR: this.rundir }; }

  async startOvs(): Promise<void> {
    const options = ['--no-chdir', '-vconsole:off', '-vsyslog:off', '--pidfile'];
    const socket = join(this.rundir, 'db.sock');
    this.ovs = [this.spawn(inside(this.host, 'ovsdb-server', join(this.rundir, 'conf.db'), `--remote=punix:${socket}`, ...options))];
    await until('ovsdb', async () => (await this.vsctl('--no-wait', 'init')).code === 0);
    this.ovs.push(this.spawn(inside(this.host, 'ovs-vswitchd', `unix:${socket}`, ...options)));
    await until('ovs-vswitchd', async () => (await this.vsctl('show')).code === 0 && (await runCommand(['ovs-appctl', 'version'], { deadlineMs: 2_000, env: this.env })).code === 0);
  }

  /** Open vSwitch dies as a whole, without a chance to clean up. */
  async killOvs(): Promise<void> {
    await Promise.all(this.ovs.map(killed));
    await rm(join(this.rundir, 'db.sock'), { force: true });
  }

  vsctl(...args: string[]) {
    return runCommand(['ovs-vsctl', `--db=unix:${join(this.rundir, 'db.sock')}`, '--timeout=5', ...args], { deadlineMs: 8_000, env: this.env });
  }
  flows = async (bridge: string): Promise<string> => orThrow(await outputOf(['ovs-ofctl', '-O', 'OpenFlow13', '--names', '--no-stats', 'dump-flows', `unix:${join(this.rundir, `${bridge}.mgmt`)}`], { deadlineMs: 5_000, env: this.env }));
  spawnIn = (namespace: string, ...argv: string[]): ChildProcess => this.spawn(inside(namespace, ...argv));
  /** Packets that met the rule whose match contains all of `parts`. */
  async flowPackets(bridge: string, parts: string): Promise<number> {
    const dumped = orThrow(await outputOf(['ovs-ofctl', '-O', 'OpenFlow13', '--names', 'dump-flows', `unix:${join(this.rundir, `${bridge}.mgmt`)}`], { deadlineMs: 5_000, env: this.env }));
    const rule = dumped.split('\n').find((line) => parts.split(',').every((part) => line.includes(part)));
    return Number(/n_packets=(\d+)/.exec(rule ?? '')?.[1] ?? -1);
  }
  links = async (): Promise<string[]> => (JSON.parse(await run('ip', '-n', this.host, '-j', 'link', 'show')) as { ifname: string }[]).map((link) => link.ifname);
  pids = async (): Promise<number[]> => (await run('ip', 'netns', 'pids', this.host)).split('\n').filter(Boolean).map(Number);

  /** A "physical network": a namespace on the other end of `uplink`, with an address on each VLAN by hand-made tagging. */
  async addUplink(uplink: string): Promise<string> {
    const name = `${this.host}u`;
    await this.addNamespace(name);
    await run('ip', 'link', 'add', uplink, 'netns', this.host, 'type', 'veth', 'peer', 'name', 'wire', 'netns', name);
    for (const [namespace, device] of [[this.host, uplink], [name, 'wire']] as const) {
      await run(...inside(namespace, 'ethtool', '-K', device, 'tx', 'off'));
      await run('ip', '-n', namespace, 'link', 'set', device, 'up');
    }
    return name;
  }

  /** Writes each frame that reaches `device` as a line of hex; the file is there once it listens. */
  capture(namespace: string, device: string, file: string): ChildProcess {
    const program = `
import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.setsockopt(263, 8, 1)
s.bind((sys.argv[1], 0))
with open(sys.argv[2], 'w', buffering=1) as out:
    while True:
        frame, ancillary, _, _ = s.recvmsg(4096, 256)
        tag = next((data for level, kind, data in ancillary if (level, kind) == (263, 8)), None)
        tci = int.from_bytes(tag[16:18], sys.byteorder) if tag and int.from_bytes(tag[0:4], sys.byteorder) & 16 else None
        shown = frame if tci is None else frame[:12] + b'\\x81\\x00' + tci.to_bytes(2, 'big') + frame[12:]
        print(shown.hex(), file=out)
`;
    return this.spawn(inside(namespace, '/usr/bin/python3', '-c', program, device, file));
  }

  /** A VM as a namespace with interface e0 of the given MAC, joined to the tap by two QEMUs without machine. */
  async addVm(name: string, ifname: string, mac: string): Promise<TestVm> {
    const namespace = `${this.host}${name}`;
    await this.addNamespace(namespace);
    await run(...inside(namespace, 'ip', 'tuntap', 'add', 'dev', 'e0', 'mode', 'tap'));
    await run('ip', '-n', namespace, 'link', 'set', 'e0', 'address', mac, 'up');
    const directory = join(this.directory, name);
    await mkdir(directory);
    await chmod(directory, 0o777);
    const socket = join(directory, 'hub.sock');
    const hub = (tap: string, server: 'on' | 'off'): string[] => [
      'qemu-system-x86_64', '-machine', 'none', '-nodefaults', '-display', 'none',
      '-netdev', `tap,id=t,ifname=${tap},script=no,downscript=no`, '-netdev', 'hubport,id=h1,hubid=0,netdev=t',
      '-netdev', `stream,id=s,server=${server},addr.type=unix,addr.path=${socket}`, '-netdev', 'hubport,id=h2,hubid=0,netdev=s',
    ];
    this.spawn(inside(this.host, ...hub(ifname, 'on')));
    await until('the hub’s socket', async () => (await runCommand(['test', '-S', socket], { deadlineMs: 1_000 })).code === 0);
    this.spawn(inside(namespace, ...hub('e0', 'off')));
    await until('the carrier', async () => (await run('ip', '-n', namespace, '-j', 'link', 'show', 'dev', 'e0')).includes('LOWER_UP'));
    return new TestVm(namespace, directory, (argv) => this.spawn(argv));
  }

  async stop(): Promise<void> {
    await Promise.all(this.children.map(killed));
    for (const pid of await this.pids()) process.kill(pid, 'SIGKILL');
    for (const name of this.namespaces) await run('ip', 'netns', 'delete', name);
    await rm(this.directory, { recursive: true, force: true });
  }
}

function killed(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => { child.once('exit', () => resolve()); child.kill('SIGKILL'); });
}

export class TestVm {
  constructor(readonly namespace: string, private readonly directory: string, private readonly spawn: (argv: string[]) => ChildProcess) {}

  run = (...argv: string[]): Promise<string> => run(...inside(this.namespace, ...argv));
  try = (...argv: string[]) => runCommand(inside(this.namespace, ...argv), { deadlineMs: 20_000 });
  ping = async (address: string): Promise<boolean> => (await this.try('ping', '-n', '-c', '2', '-i', '0.2', '-W', '1', address)).code === 0;

  private get events(): string { return join(this.directory, 'dhcp.log'); }

  /** Asks for an address until one comes, and keeps the client running. */
  async dhcp(tries = 8): Promise<{ client: ChildProcess; ended: Promise<number | null> }> {
    const script = join(this.directory, 'dhcp.sh');
    await writeFile(script, `#!/bin/sh
echo "$1 ip=$ip mask=$subnet router=$router dns=$dns mtu=$mtu lease=$lease server=$serverid" >> ${this.events}
if [ "$1" = bound ]; then ip address flush dev $interface; ip address replace $ip/24 dev $interface; [ -n "$router" ] && ip route replace default via $router dev $interface; fi
exit 0
`, { mode: 0o755 });
    const client = this.spawn(inside(this.namespace, 'busybox', 'udhcpc', '-f', '-n', '-i', 'e0', '-O', 'mtu', '-t', String(tries), '-T', '1', '-s', script));
    return { client, ended: new Promise((resolve) => client.once('exit', (code) => resolve(code))) };
  }
  event = async (kind: string): Promise<string | undefined> => (await this.allEvents(kind))[0];
  async allEvents(kind: string): Promise<string[]> {
    return (await readFile(this.events, 'utf8').catch(() => '')).split('\n').filter((line) => line.startsWith(`${kind} `));
  }
  /** What the client was told when it was bound. */
  lease = (): Promise<string> => until('a DHCP lease', () => this.event('bound'));
}
