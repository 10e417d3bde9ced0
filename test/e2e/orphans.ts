// One orphan of each kind, put into a pool that runs: on its hosts, on its datastore, in the schemas of its services. Each row says
// what it makes, as which finding it must be known, and what must have come of it.
import { randomUUID } from 'node:crypto';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BusClient, connectBus, silentLog } from '#bus';
import { createVolume, getVolume, hostVmDefine, hostVmStart, HostVmSpec } from '#contracts';
import type { DriftKind, DriftState, HostOperation, RequestOf, Vm } from '#contracts';
import { orThrow } from '#kernel';
import { queried } from '../faults/owners.ts';
import { inside, run, vsctl } from './lab.mjs';
import type { LabHost } from './lab.mjs';
import { MiB } from './world.ts';
import type { World } from './world.ts';

/** What there is to make orphans of: a VM that runs, one that is stopped, and hosts. */
export interface Ground {
  readonly world: World;
  readonly running: Vm;
  readonly stopped: Vm;
  /** Ended with the test, whatever came of them. */
  readonly processes: ChildProcess[];
}

export interface Orphan {
  readonly kind: DriftKind;
  /** Where it must have come to without anybody's doing. */
  readonly state: DriftState;
  /** Makes it; answers the id or part of the id of the finding's object. */
  inject(ground: Ground): Promise<string>;
}

const tail = (id: string): string => id.slice(-12);
const hostAt = ({ world }: Ground, index: number): LabHost => world.record.hosts[index]!;
const bridgeOf = ({ world }: Ground): string => `br-${tail(world.record.network.switchId)}`;
const inHost = (host: LabHost, ...argv: string[]): Promise<string> => run(inside(host.namespace, argv));
const sql = ({ world }: Ground, service: string, query: string, values: unknown[] = []): Promise<object[]> => queried(world, service, query, values);
const hostOfVm = ({ world }: Ground, { status }: Vm): LabHost => world.record.hosts.find(({ id }) => id === status.hostId)!;

/** As compute itself would: a VM that the pool has never had. */
async function tellHost<O extends HostOperation>({ world: { record } }: Ground, host: LabHost, operation: O, input: RequestOf<O>): Promise<void> {
  const nats = await connectBus({ url: record.nats.url, credsFile: record.nats.creds['compute']!, name: 'compute', log: silentLog });
  try {
    orThrow(await new BusClient({ connection: nats, service: 'compute' }).requestHost(host.id, operation, input, { as: 'system', timeoutMs: 30_000 }));
  } finally {
    await nats.close();
  }
}
const strangeVm = (uid: number) => HostVmSpec.parse({
  vmId: randomUUID(), name: 'strange', uid, cpu: { sockets: 1, cores: 1, threads: 1 }, cpuModel: 'qemu64', cpuService: {}, memoryBytes: 16 * MiB, memoryService: {}, firmware: 'bios', disks: [], nics: [],
});

export const orphans: readonly Orphan[] = [
  {
    kind: 'qemu-unknown', state: 'quarantined',
    inject: async (ground) => {
      const [command, ...args] = inside(hostAt(ground, 0).namespace, ['qemu-system-x86_64', '-accel', 'tcg', '-m', '16', '-nodefaults', '-display', 'none', '-net', 'none', '-S', '-name', 'stranger']);
      const stranger = spawn(command!, args, { stdio: 'ignore' });
      ground.processes.push(stranger);
      return `${stranger.pid ?? 0}/`;
    },
  },
  {
    kind: 'vm-elsewhere', state: 'quarantined',
    inject: async (ground) => {
      const spec = strangeVm(265_001);
      await tellHost(ground, hostAt(ground, 1), hostVmStart, { commandId: randomUUID(), vmId: spec.vmId, epoch: 1, spec });
      return spec.vmId;
    },
  },
  {
    kind: 'vm-unknown', state: 'quarantined',
    inject: async (ground) => {
      const spec = strangeVm(265_002);
      await tellHost(ground, hostAt(ground, 2), hostVmDefine, { commandId: randomUUID(), vmId: spec.vmId, epoch: 1, spec });
      return spec.vmId;
    },
  },
  {
    kind: 'vm-task', state: 'repaired',
    inject: async (ground) => {
      await sql(ground, 'compute', 'UPDATE vm SET task_id = ? WHERE id = ?', [randomUUID(), ground.stopped.id]);
      return ground.stopped.id;
    },
  },
  {
    kind: 'port-stray', state: 'repaired',
    inject: async (ground) => {
      const [host, nicId] = [hostAt(ground, 1), randomUUID()];
      const ifname = `tap${tail(nicId)}`;
      await inHost(host, 'ip', 'tuntap', 'add', 'dev', ifname, 'mode', 'tap');
      await inHost(host, 'ip', 'link', 'set', 'dev', ifname, 'alias', `tokamak:${nicId}`);
      await vsctl(host.ovsRundir, ['add-port', bridgeOf(ground), ifname, '--', 'set', 'port', ifname, `external_ids:tok-vm=${randomUUID()}`, `external_ids:tok-nic=${nicId}`]);
      return ifname;
    },
  },
  {
    kind: 'port-missing', state: 'repaired',
    inject: async (ground) => {
      const { nicId } = ground.running.spec.nics[0]!;
      await vsctl(hostOfVm(ground, ground.running).ovsRundir, ['del-port', bridgeOf(ground), `tap${tail(nicId)}`]);
      return nicId;
    },
  },
  {
    kind: 'port-foreign', state: 'quarantined',
    inject: async (ground) => {
      await vsctl(hostAt(ground, 2).ovsRundir, ['add-port', bridgeOf(ground), 'mirror0', '--', 'set', 'interface', 'mirror0', 'type=internal']);
      return 'mirror0';
    },
  },
  {
    kind: 'switch-unknown', state: 'quarantined',
    inject: async (ground) => {
      const switchId = randomUUID();
      await vsctl(hostAt(ground, 0).ovsRundir, ['add-br', `br-${tail(switchId)}`, '--', 'set', 'bridge', `br-${tail(switchId)}`, 'datapath_type=netdev', `external_ids:tok-switch=${switchId}`, 'external_ids:tok-generation=1']);
      return `br-${tail(switchId)}`;
    },
  },
  {
    kind: 'switch-missing', state: 'repaired',
    inject: async (ground) => {
      await vsctl(hostAt(ground, 2).ovsRundir, ['set', 'bridge', bridgeOf(ground), 'external_ids:tok-generation=0']);
      return ground.world.record.network.switchId;
    },
  },
  {
    kind: 'address-stray', state: 'repaired',
    inject: async (ground) => {
      const portId = randomUUID();
      await sql(ground, 'network', `INSERT INTO port (id, port_group_id, vm_id, nic_id, mac, number) SELECT ?, ?, ?, ?, '52:54:00:0d:41:f7', MAX(number) + 1000 FROM port`, [portId, ground.world.record.network.portGroupId, randomUUID(), randomUUID()]);
      return portId;
    },
  },
  {
    kind: 'file-unknown', state: 'quarantined',
    inject: async ({ world }) => {
      const path = `volumes/${randomUUID()}.qcow2`;
      writeFileSync(join(world.record.datastore.path, path), 'nobody knows me');
      return path;
    },
  },
  {
    kind: 'file-foreign', state: 'found',
    inject: async ({ world }) => {
      const path = `volumes/${world.prefix}.txt`;
      writeFileSync(join(world.record.datastore.path, path), 'a note');
      return path;
    },
  },
  {
    kind: 'file-missing', state: 'found',
    inject: async ({ world: { rest, record, prefix } }) => {
      const ref = await rest.ask(createVolume, { name: `${prefix}-lost`, datastoreId: record.datastore.id, sizeBytes: 8 * MiB });
      await rest.succeeded(ref);
      const volumeId = getVolume.input.shape.volumeId.parse(ref.objectId);
      rmSync(join(record.datastore.path, 'volumes', `${volumeId}.qcow2`));
      return volumeId;
    },
  },
  {
    kind: 'claim-stray', state: 'repaired',
    inject: async (ground) => {
      const claimId = randomUUID();
      await sql(ground, 'scheduler', 'INSERT INTO claim (id, vm_id, host_id, vcpus, memory_bytes, created_at) VALUES (?, ?, ?, 1, 67108864, UTC_TIMESTAMP(3))', [claimId, randomUUID(), hostAt(ground, 0).id]);
      return claimId;
    },
  },
  {
    kind: 'claim-missing', state: 'repaired',
    inject: async (ground) => {
      await sql(ground, 'scheduler', 'DELETE FROM claim WHERE vm_id = ?', [ground.running.id]);
      return ground.running.id;
    },
  },
  {
    kind: 'lock-stray', state: 'repaired',
    inject: async (ground) => {
      const volumeId = randomUUID();
      await sql(ground, 'storage', "INSERT INTO task_lock (noun, object_id, root_task_id, task_id, holders, since) VALUES ('volume', ?, ?, ?, 1, UTC_TIMESTAMP(3))", [volumeId, randomUUID(), randomUUID()]);
      return volumeId;
    },
  },
];
