// One dnsmasq per port group that has assigned addresses on this host. It outlives the agent, is found again by pid,
// start time and its configuration file's path, and is ended by pid. Files change by rename, so none is ever half written.
import { mkdir, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { Result } from '#kernel';
import { ok, sleep } from '#kernel';
import { HostCommandFailed } from '#contracts';
import { outputOf } from '../run-command.ts';
import { dnsmasqConfig, dnsmasqHosts } from './dhcp-config.ts';
import type { DhcpHost } from './dhcp-config.ts';

/** `device` is the interface index the socket is bound to: a port that was made anew needs a fresh server. */
const Running = z.object({ pid: z.int().min(2), startTicks: z.string(), device: z.int() });
type Running = z.infer<typeof Running>;

export class DhcpServers {
  constructor(private readonly directory: string, private readonly enter: readonly string[]) {}

  private of(portGroupId: string) {
    const directory = join(this.directory, portGroupId);
    return { directory, config: join(directory, 'dnsmasq.conf'), hosts: join(directory, 'hosts'), pid: join(directory, 'dnsmasq.pid'), log: join(directory, 'dnsmasq.log'), process: join(directory, 'process.json') };
  }

  /** Port groups that have, or once had, a server here. */
  async known(): Promise<string[]> {
    return readdir(this.directory).catch(() => []);
  }

  /**
   * Makes the server answer exactly `hosts`. Any change means a fresh server (some 20 ms): dnsmasq keeps what it has given
   * in memory, also against a new assignment, and 2.90 aborts on SIGHUP once it has given a lease.
   */
  async serve(portGroupId: string, device: string, deviceIndex: number, hosts: readonly DhcpHost[]): Promise<Result<void>> {
    const paths = this.of(portGroupId);
    // dnsmasq reads the hosts after it has given up its rights.
    await mkdir(paths.directory, { recursive: true, mode: 0o755 });
    const wanted = { config: dnsmasqConfig(device, hosts, paths), hosts: dnsmasqHosts(hosts) };
    const running = await this.running(portGroupId);
    const fits = running?.device === deviceIndex && (await textOf(paths.config)) === wanted.config && (await textOf(paths.hosts)) === wanted.hosts;
    if (fits) return ok(undefined);
    // The old server ends before the files change: a crash in between is then seen as "not running".
    if (running !== undefined) await end(running, paths.config);
    await replaceFile(paths.config, wanted.config);
    await replaceFile(paths.hosts, wanted.hosts);
    return this.start(portGroupId, deviceIndex);
  }

  private async start(portGroupId: string, device: number): Promise<Result<void>> {
    const paths = this.of(portGroupId);
    const started = await outputOf([...this.enter, 'dnsmasq', `--conf-file=${paths.config}`], { deadlineMs: 10_000 });
    if (!started.ok) return started;
    const pid = Number((await textOf(paths.pid)).trim());
    const startTicks = await startTicksOf(pid, paths.config);
    const reason = `dnsmasq for port group ${portGroupId} ended at once; see ${paths.log}`;
    if (startTicks === undefined) return HostCommandFailed.fail(reason, { reason });
    await replaceFile(paths.process, JSON.stringify({ pid, startTicks, device } satisfies Running));
    return ok(undefined);
  }

  /** The server that answers now; also one whose start the agent did not live to record. */
  private async running(portGroupId: string): Promise<Running | undefined> {
    const paths = this.of(portGroupId);
    const pid = Number((await textOf(paths.pid)).trim());
    const startTicks = pid > 1 ? await startTicksOf(pid, paths.config) : undefined;
    if (startTicks === undefined) return undefined;
    const recorded = Running.safeParse(jsonOf(await textOf(paths.process)));
    const same = recorded.success && recorded.data.pid === pid && recorded.data.startTicks === startTicks;
    return { pid, startTicks, device: same ? recorded.data.device : 0 };
  }

  async end(portGroupId: string): Promise<void> {
    const paths = this.of(portGroupId);
    const running = await this.running(portGroupId);
    if (running !== undefined) await end(running, paths.config);
    await rm(paths.directory, { recursive: true, force: true });
  }
}

/** Ends one server and waits until it is gone, so that its socket is free; SIGKILL after two seconds. */
async function end(server: Running, config: string): Promise<void> {
  const stillRuns = async (): Promise<boolean> => (await startTicksOf(server.pid, config)) === server.startTicks;
  for (const [signal, patienceMs] of [['SIGTERM', 2_000], ['SIGKILL', 2_000]] as const) {
    if (!(await stillRuns())) return;
    process.kill(server.pid, signal);
    const until = performance.now() + patienceMs;
    while (performance.now() < until && (await stillRuns())) await sleep(5);
  }
}

/** Start time of the process in clock ticks, when it is alive and serves this very configuration file. */
async function startTicksOf(pid: number, config: string): Promise<string | undefined> {
  const [stat, commandLine] = await Promise.all([textOf(`/proc/${pid}/stat`), textOf(`/proc/${pid}/cmdline`)]);
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const alive = stat !== '' && fields[0] !== 'Z' && fields[0] !== 'X';
  return alive && commandLine.split('\0').includes(`--conf-file=${config}`) ? fields[19] : undefined;
}

const textOf = (file: string): Promise<string> => readFile(file, 'utf8').catch(() => '');

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // torn or absent
  }
}

async function replaceFile(file: string, text: string): Promise<void> {
  await writeFile(`${file}.new`, text, { mode: 0o644 });
  await rename(`${file}.new`, file);
}
