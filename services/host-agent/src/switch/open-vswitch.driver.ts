// Talks to one Open vSwitch in its private run directory: changes through its command line tools, questions to its database. Every call has a deadline.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { Result } from '#kernel';
import { ok } from '#kernel';
import { HostCommandFailed } from '#contracts';
import { outputOf, runCommand } from '../run-command.ts';
import { selectAll } from './ovsdb.socket.ts';
import type { Select } from './ovsdb.socket.ts';

const deadlineMs = 10_000;

export interface OvsPort { readonly name: string; readonly bridge: string; readonly ids: ReadonlyMap<string, string> }

/** OVSDB's JSON (RFC 7047, 5.1): a map is `["map", [[key, value], …]]`, a set `["set", […]]`, an id `["uuid", text]`. */
const OvsMap = z.tuple([z.literal('map'), z.array(z.tuple([z.string(), z.string()]))]).transform(([, pairs]) => new Map(pairs));
const OvsUuid = z.tuple([z.literal('uuid'), z.string()]).transform(([, id]) => id);
const OvsUuids = z.union([OvsUuid.transform((id) => [id]), z.tuple([z.literal('set'), z.array(OvsUuid)]).transform(([, ids]) => ids)]);
const Bridges = z.array(z.object({ name: z.string(), external_ids: OvsMap, ports: OvsUuids }));
const PortRows = z.array(z.object({ _uuid: OvsUuid, name: z.string(), external_ids: OvsMap }));
const bridgeTable = { table: 'Bridge', columns: ['name', 'external_ids', 'ports'] };
const portTable = { table: 'Port', columns: ['_uuid', 'name', 'external_ids'] };

export class OpenVswitch {
  constructor(private readonly rundir: string) {}

  private get env(): Record<string, string> {
    return { OVS_RUNDIR: this.rundir, OVS_DBDIR: this.rundir, OVS_LOGDIR: this.rundir };
  }

  private get database(): string {
    return join(this.rundir, 'db.sock');
  }

  /** One transaction: all of it or nothing, answered when the switch has taken it. */
  vsctl(...args: readonly string[]): Promise<Result<string>> {
    return outputOf(['ovs-vsctl', `--db=unix:${this.database}`, `--timeout=${deadlineMs / 1000 - 1}`, ...args], { deadlineMs, env: this.env });
  }

  /** Those of them that are there, at once; `along` = what else is in the transaction, from its `--` on. */
  async removePorts(bridge: string, names: readonly string[], along: readonly string[] = []): Promise<Result<void>> {
    if (names.length === 0) return ok(undefined);
    const gone = await this.vsctl(...names.flatMap((name, index) => [...(index === 0 ? [] : ['--']), '--if-exists', 'del-port', bridge, name]), ...along);
    return gone.ok ? ok(undefined) : gone;
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
    const tables = await this.read(bridgeTable);
    if (!tables.ok) return tables;
    const rows = rowsIn(Bridges, tables.value[0]);
    return rows.ok ? ok(new Map(rows.value.filter(({ external_ids: ids }) => ids.has('tok-switch')).map(({ name, external_ids: ids }) => [name, ids]))) : rows;
  }

  /** Ports of our bridges with their external ids. */
  async ports(): Promise<Result<OvsPort[]>> {
    const tables = await this.read(bridgeTable, portTable);
    if (!tables.ok) return tables;
    const bridges = rowsIn(Bridges, tables.value[0]);
    if (!bridges.ok) return bridges;
    const ports = rowsIn(PortRows, tables.value[1]);
    if (!ports.ok) return ports;
    const byId = new Map(ports.value.map(({ _uuid: id, name, external_ids: ids }) => [id, { name, ids }]));
    return ok(bridges.value.filter(({ external_ids: ids }) => ids.has('tok-switch')).flatMap(({ name: bridge, ports: members }) => members.flatMap((id) => {
      const port = byId.get(id);
      return port === undefined ? [] : [{ ...port, bridge }];
    })));
  }

  private read(...tables: readonly Select[]): Promise<Result<unknown[][]>> {
    return selectAll(this.database, tables, deadlineMs);
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

function rowsIn<R>(shape: z.ZodType<R>, rows: unknown): Result<R> {
  const reason = 'the database of Open vSwitch has rows of an unknown form';
  const read = shape.safeParse(rows);
  return read.success ? ok(read.data) : HostCommandFailed.fail(reason, { reason }, read.error);
}

/** Version of the installed Open vSwitch; null where there is none. */
export async function installedVersion(): Promise<string | null> {
  const { stdout } = await runCommand(['ovs-vsctl', '--version'], { deadlineMs: 5_000 });
  return /Open vSwitch\)? (\d[\w.]*)/.exec(stdout)?.[1] ?? null;
}
