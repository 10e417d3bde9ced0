// The host's part of the distributed switches on Open vSwitch. Every method makes the world as told, whatever it was;
// a failure half-way is undone. One change at a time: rules of a port group name all its ports.
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { HostCommandFailed, InUse } from '#contracts';
import type { HostNic } from '#contracts';
import type { Result } from '#kernel';
import { ok } from '#kernel';
import type { Datapath, SwitchDriver, SwitchPort } from '../drivers.ts';
import { DhcpServers } from './dhcp-server.driver.ts';
import { bridgeFlows } from './flows.ts';
import { HostNetwork } from './host-network.driver.ts';
import { bondName, bridgeName } from './names.ts';
import { OpenVswitch, installedVersion } from './open-vswitch.driver.ts';
import { Ports } from './ports.driver.ts';
import type { AttachedNic } from './ports.driver.ts';
import { oneAtATime, watch } from './turns.ts';

export interface SwitchOptions {
  /** TOK_OVS_RUNDIR */
  readonly rundir: string;
  /** TOK_UPLINKS: uplink name to network interface. */
  readonly uplinks: Readonly<Record<string, string>>;
  /** TOK_HOST_DIR: files of the DHCP servers go below it. */
  readonly stateDir: string;
  /** Path of the network namespace that the host lives in; the agent's own when absent. */
  readonly namespace?: string;
  /** Called when what runs could not be restored after a restart of Open vSwitch. */
  readonly onProblem?: (reason: string) => void;
  readonly watchEveryMs?: number;
}

const refused = (reason: string) => HostCommandFailed.fail(reason, { reason });

export async function createSwitchDriver(options: SwitchOptions): Promise<SwitchDriver> {
  const version = await installedVersion();
  const datapath: Datapath = version === null ? 'none' : await access('/sys/module/openvswitch').then(() => 'system' as const, () => 'netdev' as const);
  const enter = options.namespace === undefined ? [] : ['nsenter', `--net=${options.namespace}`, '--'];
  const ovs = new OpenVswitch(options.rundir);
  const network = new HostNetwork(enter);
  const ports = new Ports(ovs, network, new DhcpServers(join(options.stateDir, 'dhcp'), enter));
  const inTurn = oneAtATime();

  const findBridge = async (switchId: string): Promise<Result<{ name: string; generation: number } | null>> => {
    const all = await ovs.bridges();
    if (!all.ok) return all;
    const ids = all.value.get(bridgeName(switchId));
    if (ids === undefined) return ok(null);
    if (ids.get('tok-switch') !== switchId) return refused(`bridge ${bridgeName(switchId)} belongs to another switch, ${ids.get('tok-switch')}`);
    return ok({ name: bridgeName(switchId), generation: Number(ids.get('tok-generation') ?? -1) });
  };

  const apply: SwitchDriver['apply'] = async (input) => {
    const bridge = bridgeName(input.switchId);
    const found = await findBridge(input.switchId);
    if (!found.ok) return found;
    const interfaces: string[] = [];
    for (const name of input.uplinks) {
      const device = options.uplinks[name];
      if (device === undefined) return refused(`this host has no uplink "${name}"; it has: ${Object.keys(options.uplinks).join(', ') || 'none'}`);
      if ((await network.find(device)) === undefined) return refused(`uplink "${name}" is interface ${device}, which does not exist`);
      interfaces.push(device);
    }
    const present = await ovs.ports();
    if (!present.ok) return present;
    const uplinkPort = interfaces.length > 1 ? bondName(input.switchId) : interfaces[0];
    const stale = present.value.filter((port) => port.bridge === bridge && port.ids.has('tok-uplinks') && (port.name !== uplinkPort || port.ids.get('tok-uplinks') !== interfaces.join(' ')));
    const made = await ovs.vsctl(
      '--may-exist', 'add-br', bridge,
      '--', 'set', 'bridge', bridge, `datapath_type=${datapath}`, 'fail_mode=secure', 'other_config:disable-in-band=true', `external_ids:tok-switch=${input.switchId}`,
      ...stale.flatMap((port) => ['--', '--if-exists', 'del-port', bridge, port.name]),
      ...(uplinkPort === undefined ? [] : uplinkArguments(bridge, uplinkPort, interfaces, input.mtu)),
    );
    if (!made.ok) {
      if (found.value === null) await ovs.vsctl('--if-exists', 'del-br', bridge);
      return made;
    }
    const ruled = await ovs.changeFlows(bridge, bridgeFlows(interfaces));
    if (!ruled.ok) return ruled;
    const groups = await ports.refreshGroups(bridge);
    if (!groups.ok) return groups;
    // Last: the generation says that all of it is there.
    const marked = await ovs.vsctl('set', 'bridge', bridge, `external_ids:tok-generation=${input.generation}`);
    return marked.ok ? ok({ bridge }) : marked;
  };

  const remove = async (switchId: string): Promise<Result<void>> => {
    const found = await findBridge(switchId);
    if (!found.ok) return found;
    if (found.value === null) return ok(undefined);
    const bridge = found.value.name;
    const present = await ovs.ports();
    if (!present.ok) return present;
    const users = [...new Set(present.value.filter((port) => port.bridge === bridge).flatMap((port) => port.ids.get('tok-vm') ?? []))];
    if (users.length > 0) return InUse.fail(`${users.length} VMs have a port on this switch`, { by: users.map((id) => ({ noun: 'vm', id })) });
    const gone = await ovs.vsctl('--if-exists', 'del-br', bridge);
    return gone.ok ? ok(undefined) : gone;
  };

  const tap = async (vmId: string, nic: HostNic, uid: number): Promise<Result<{ ifname: string }>> => {
    if (datapath === 'none') return refused('Open vSwitch is not installed on this host');
    return ports.tap({ vmId, nic, uid, bridge: bridgeName(nic.switchId) });
  };

  const attach = async (vmId: string, nic: HostNic, uid: number): Promise<Result<{ ifname: string }>> => {
    if (datapath === 'none') return refused('Open vSwitch is not installed on this host');
    const found = await findBridge(nic.switchId);
    if (!found.ok) return found;
    if (found.value === null) return refused(`switch ${nic.switchId} is not on this host yet`);
    return ports.attach({ vmId, nic, uid, bridge: found.value.name });
  };

  const restore = async (wanted: readonly Omit<AttachedNic, 'bridge'>[]): Promise<Result<void>> => {
    const bridges = await ovs.bridges();
    if (!bridges.ok) return bridges;
    const present = await ovs.ports();
    if (!present.ok) return present;
    for (const bridge of bridges.value.keys()) {
      const uplinks = present.value.filter((port) => port.bridge === bridge).flatMap((port) => port.ids.get('tok-uplinks')?.split(' ') ?? []);
      const ruled = await ovs.changeFlows(bridge, bridgeFlows(uplinks));
      if (!ruled.ok) return ruled;
    }
    return ports.restore(wanted.map((one) => ({ ...one, bridge: bridgeName(one.nic.switchId) })), [...bridges.value.keys()]);
  };

  const stopWatching = datapath === 'none' ? () => Promise.resolve() : watch(options.watchEveryMs ?? 500, () => ovs.daemon(), () => inTurn(async () => {
    const done = await restore(ports.attached());
    if (!done.ok) options.onProblem?.(`ports could not be restored after a restart of Open vSwitch: ${done.fault.detail}`);
    return done.ok;
  }));

  return {
    datapath: () => datapath,
    version: () => version,
    apply: (input) => inTurn(() => apply(input)),
    remove: (switchId) => inTurn(() => remove(switchId)),
    appliedGeneration: async (switchId) => {
      const found = await findBridge(switchId);
      return found.ok && found.value !== null && found.value.generation >= 0 ? found.value.generation : null;
    },
    tap: (vmId, nic, uid) => inTurn(() => tap(vmId, nic, uid)),
    attach: (vmId, nic, uid) => inTurn(() => attach(vmId, nic, uid)),
    detach: (vmId, nicIds) => inTurn(() => ports.detach(vmId, nicIds)),
    listPorts: async (): Promise<SwitchPort[]> => {
      const all = await ovs.ports();
      if (!all.ok) return [];
      return all.value.flatMap((port) => {
        const vmId = port.ids.get('tok-vm');
        const nicId = port.ids.get('tok-nic');
        return vmId === undefined || nicId === undefined ? [] : [{ ifname: port.name, vmId, nicId }];
      });
    },
    survey: () => inTurn(async () => {
      const [bridges, seen] = [await ovs.bridges(), await ports.survey()];
      if (!bridges.ok) return bridges;
      if (!seen.ok) return seen;
      const switches = [...bridges.value].map(([bridge, ids]) => ({ bridge, switchId: ids.get('tok-switch') ?? '', generation: Number(ids.get('tok-generation') ?? -1) }));
      return ok({ switches, ...seen.value });
    }),
    removeStray: (ifname, foreign, mayRun) => inTurn(() => ports.removeStray(ifname, foreign, mayRun)),
    restore: (running) => inTurn(() => restore(running.flatMap(({ vmId, uid, nics }) => nics.map((nic) => ({ vmId, uid, nic }))))),
    stop: stopWatching,
  };
}

function uplinkArguments(bridge: string, port: string, interfaces: readonly string[], mtu: number): string[] {
  // Several uplinks are one bond: two trunks side by side would be a loop.
  const add = interfaces.length > 1
    ? ['--', '--may-exist', 'add-bond', bridge, port, ...interfaces, '--', 'set', 'port', port, 'bond_mode=active-backup']
    : ['--', '--may-exist', 'add-port', bridge, port];
  return [
    ...add,
    '--', 'set', 'port', port, `external_ids:tok-uplinks="${interfaces.join(' ')}"`,
    ...interfaces.flatMap((device) => ['--', 'set', 'interface', device, `mtu_request=${mtu}`]),
  ];
}
