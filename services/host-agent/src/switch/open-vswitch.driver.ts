// Talks to one Open vSwitch through its command line tools and its private run directory. Every call has a deadline.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { Result } from '#kernel';
import { ok } from '#kernel';
import { HostCommandFailed } from '#contracts';
import { outputOf, runCommand } from '../run-command.ts';

const deadlineMs = 10_000;

export interface OvsPort { readonly name: string; readonly bridge: string; readonly ids: ReadonlyMap<string, string> }

/** OVSDB's JSON: a map is `["map", [[key, value], …]]`, a set `["set", […]]`, an id `["uuid", text]`. */
const OvsMap = z.tuple([z.literal('map'), z.array(z.tuple([z.string(), z.string()]))]).transform(([, pairs]) => new Map(pairs));
const OvsUuid = z.tuple([z.literal('uuid'), z.string()]).transform(([, id]) => id);
const OvsUuids = z.union([OvsUuid.transform((id) => [id]), z.tuple([z.literal('set'), z.array(OvsUuid)]).transform(([, ids]) => ids)]);
const table = <R extends z.ZodType>(row: R) => z.object({ data: z.array(row) }).transform(({ data }) => data);
const BridgeRows = table(z.tuple([z.string(), OvsMap, OvsUuids]));
const listBridges = ['--columns=name,external_ids,ports', 'list', 'bridge'];
const listPorts = ['--columns=_uuid,name,external_ids', 'list', 'port'];
const PortRows = table(z.tuple([OvsUuid, z.string(), OvsMap]));

export class OpenVswitch {
  constructor(private readonly rundir: string) {}

  private get env(): Record<string, string> {
    return { OVS_RUNDIR: this.rundir, OVS_DBDIR: this.rundir, OVS_LOGDIR: this.rundir };
  }

  /** One transaction: all of it or nothing, answered when the switch has taken it. */
  vsctl(...args: readonly string[]): Promise<Result<string>> {
    return outputOf(['ovs-vsctl', `--db=unix:${join(this.rundir, 'db.sock')}`, `--timeout=${deadlineMs / 1000 - 1}`, ...args], { deadlineMs, env: this.env });
  }

  /** Changes rules in one bundle: no packet sees half of it. */
  async changeFlows(bridge: string, lines: readonly string[]): Promise<Result<void>> {
    if (lines.length === 0) return ok(undefined);
    const done = await outputOf(['ovs-ofctl', '-O', 'OpenFlow13', `--timeout=${deadlineMs / 1000 - 1}`, '--bundle', 'add-flows', this.management(bridge), '-'], {
      deadlineMs, env: this.env, input: `${lines.join('\n')}\n`,
    });
    return done.ok ? ok(undefined) : done;
  }

  dumpFlows(bridge: string): Promise<Result<string>> {
    return outputOf(['ovs-ofctl', '-O', 'OpenFlow13', '--names', '--no-stats', 'dump-flows', this.management(bridge)], { deadlineMs, env: this.env });
  }

  private management(bridge: string): string {
    return `unix:${join(this.rundir, `${bridge}.mgmt`)}`;
  }

  /** Our bridges: name to external ids. */
  async bridges(): Promise<Result<Map<string, ReadonlyMap<string, string>>>> {
    const text = await this.vsctl('--format=json', ...listBridges);
    if (!text.ok) return text;
    const rows = readRows(BridgeRows, text.value);
    return rows.ok ? ok(new Map(rows.value.filter(([, ids]) => ids.has('tok-switch')).map(([name, ids]) => [name, ids]))) : rows;
  }

  /** Ports of our bridges with their external ids. */
  async ports(): Promise<Result<OvsPort[]>> {
    const text = await this.vsctl('--format=json', ...listBridges, '--', ...listPorts);
    if (!text.ok) return text;
    const [bridgeText = '', portText = ''] = text.value.trim().split('\n');
    const bridges = readRows(BridgeRows, bridgeText);
    if (!bridges.ok) return bridges;
    const ports = readRows(PortRows, portText);
    if (!ports.ok) return ports;
    const byId = new Map(ports.value.map(([id, name, ids]) => [id, { name, ids }]));
    return ok(bridges.value.filter(([, ids]) => ids.has('tok-switch')).flatMap(([bridge, , members]) => members.flatMap((id) => {
      const port = byId.get(id);
      return port === undefined ? [] : [{ ...port, bridge }];
    })));
  }

  /** What changes when ovs-vswitchd starts anew (its rules are gone then); null when it does not run. */
  async daemon(): Promise<string | null> {
    const pid = await readFile(join(this.rundir, 'ovs-vswitchd.pid'), 'utf8').catch(() => null);
    if (pid === null) return null;
    const stat = await readFile(`/proc/${pid.trim()}/stat`, 'utf8').catch(() => null);
    if (stat === null) return null;
    return `${pid.trim()} ${stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? ''}`;
  }
}

function readRows<R>(shape: z.ZodType<R>, text: string): Result<R> {
  const reason = 'ovs-vsctl answered in an unknown form';
  try {
    const read = shape.safeParse(JSON.parse(text));
    return read.success ? ok(read.data) : HostCommandFailed.fail(reason, { reason }, read.error);
  } catch (error) {
    return HostCommandFailed.fail(reason, { reason }, error);
  }
}

/** Version of the installed Open vSwitch; null where there is none. */
export async function installedVersion(): Promise<string | null> {
  const { stdout } = await runCommand(['ovs-vsctl', '--version'], { deadlineMs: 5_000 });
  return /Open vSwitch\)? (\d[\w.]*)/.exec(stdout)?.[1] ?? null;
}
