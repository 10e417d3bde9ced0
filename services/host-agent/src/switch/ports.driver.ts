// The ports of VMs: tap, port with VLAN, rules, DHCP. Order matters for who may send what: rules come last when a port
// is made and go first when it is taken away, so that a port is never usable with another's rules.
import type { HostNic } from '#contracts';
import type { Result } from '#kernel';
import { allEnded, ok } from '#kernel';
import { InUse } from '#contracts';
import type { DhcpHost } from './dhcp-config.ts';
import type { DhcpServers } from './dhcp-server.driver.ts';
import { isolatedVlan, nicFlows, portGroupFlows, withoutFlows } from './flows.ts';
import type { HostNetwork } from './host-network.driver.ts';
import { dhcpPortName, nicCookie, portGroupCookie, tapName } from './names.ts';
import type { OpenVswitch, OvsPort } from './open-vswitch.driver.ts';

export interface AttachedNic { readonly vmId: string; readonly nic: HostNic; readonly uid: number; readonly bridge: string }

/** A NIC whose address is given here. */
const served = ({ nic }: AttachedNic): DhcpHost | null => (nic.ip === null || nic.subnet === null ? null : { mac: nic.mac, ip: nic.ip, mtu: nic.mtu, subnet: nic.subnet });

export interface PortSeen { readonly ifname: string; readonly bridge: string | null; readonly kind: 'nic' | 'tap' | 'dhcp' | 'foreign'; readonly nicId: string | null; readonly vmId: string | null; readonly owned: boolean }
export interface PortSurvey {
  readonly ports: readonly PortSeen[];
  /** NICs whose port is not there; `tap` = their end in the kernel is. */
  readonly missing: readonly { readonly vmId: string; readonly nicId: string; readonly ifname: string; readonly tap: boolean }[];
}

/** Its uplinks, and the port that every bridge has of its own name. */
const isOfSwitch = ({ name, bridge, ids }: OvsPort): boolean => ids.has('tok-uplinks') || name === bridge;

export class Ports {
  private readonly nics = new Map<string, AttachedNic>();
  /** NICs whose tap has just been made, and whose port is to follow. */
  private readonly tapped = new Set<string>();

  constructor(private readonly ovs: OpenVswitch, private readonly network: HostNetwork, private readonly dhcp: DhcpServers) {}

  attached(): AttachedNic[] {
    return [...this.nics.values()];
  }

  /** Known from here on, so that a `restore` in between leaves the tap alone. */
  async tap(wanted: AttachedNic): Promise<Result<{ ifname: string }>> {
    const { nic, uid } = wanted;
    const ifname = tapName(nic.nicId);
    const known = await this.know(wanted);
    if (!known.ok) return known;
    const made = await this.network.ensureTap(ifname, uid, nic.mtu, nic.nicId);
    if (!made.ok) return made;
    this.tapped.add(nic.nicId);
    return ok({ ifname });
  }

  async attach(wanted: AttachedNic): Promise<Result<{ ifname: string }>> {
    const ifname = tapName(wanted.nic.nicId);
    const isNew = !this.nics.has(wanted.nic.nicId);
    const known = await this.know(wanted);
    if (!known.ok) return known;
    const hasTap = this.tapped.delete(wanted.nic.nicId);
    const done = await this.make(ifname, wanted, hasTap);
    if (done.ok) return ok({ ifname });
    // A tap that was there before may be in a QEMU's hands: it stays, and whoever asked puts the port as it was.
    if (isNew) await this.detach(wanted.vmId, [wanted.nic.nicId]);
    return done;
  }

  /** A NIC that was in another port group leaves that one first. */
  private async know(wanted: AttachedNic): Promise<Result<void>> {
    const before = this.nics.get(wanted.nic.nicId);
    const left = before === undefined || before.nic.portGroupId === wanted.nic.portGroupId ? ok(undefined) : await this.leaveGroup(before, tapName(wanted.nic.nicId));
    if (left.ok) this.nics.set(wanted.nic.nicId, wanted);
    return left;
  }

  /** Out of its port group; the tap stays, because a running QEMU that lost it would never get another one. */
  private async leaveGroup({ bridge, nic }: AttachedNic, ifname: string): Promise<Result<void>> {
    this.nics.delete(nic.nicId);
    const unruled = await this.ovs.changeFlows(bridge, withoutFlows(nicCookie(nic.nicId)));
    if (!unruled.ok) return unruled;
    const gone = await this.ovs.vsctl('--if-exists', 'del-port', bridge, ifname);
    return gone.ok ? this.refreshGroup(bridge, nic.portGroupId) : gone;
  }

  private async make(ifname: string, { vmId, nic, uid, bridge }: AttachedNic, hasTap = false): Promise<Result<void>> {
    const tap = hasTap ? ok(undefined) : await this.network.ensureTap(ifname, uid, nic.mtu, nic.nicId);
    if (!tap.ok) return tap;
    const dhcpPort = nic.ip !== null && nic.subnet !== null ? dhcpPortName(nic.portGroupId) : null;
    return this.refreshGroup(bridge, nic.portGroupId, {
      ports: [
        '--', '--may-exist', 'add-port', bridge, ifname,
        '--', 'set', 'port', ifname, `tag=${nic.vlan}`, 'vlan_mode=access', `external_ids:tok-vm=${vmId}`, `external_ids:tok-nic=${nic.nicId}`, `external_ids:tok-group=${nic.portGroupId}`,
        '--', 'set', 'interface', ifname, `mtu_request=${nic.mtu}`,
      ],
      flows: nicFlows({ nicId: nic.nicId, port: ifname, mac: nic.mac, ip: nic.ip, dhcpPort }),
    });
  }

  /**
   * Makes a port group's DHCP port, server and rules fit its NICs; with none served, there is nothing. A port that is
   * being made goes along: one transaction, one bundle of rules, because each call costs a process.
   */
  private async refreshGroup(bridge: string, portGroupId: string, also: { ports: readonly string[]; flows: readonly string[] } = { ports: [], flows: [] }): Promise<Result<void>> {
    const members = this.attached().filter((one) => one.bridge === bridge && one.nic.portGroupId === portGroupId && served(one) !== null);
    const [first] = members;
    const device = dhcpPortName(portGroupId);
    if (first === undefined) {
      const ended = await this.endGroup(bridge, portGroupId, also.ports);
      return ended.ok ? this.ovs.changeFlows(bridge, also.flows) : ended;
    }

    const hosts = members.flatMap((one) => served(one) ?? []);
    const made = await this.ovs.vsctl(
      '--may-exist', 'add-port', bridge, device,
      '--', 'set', 'port', device, `tag=${isolatedVlan}`, `external_ids:tok-dhcp=${portGroupId}`,
      '--', 'set', 'interface', device, 'type=internal',
      ...also.ports,
    );
    if (!made.ok) return made;
    const index = await this.network.readyDhcpPort(device, hosts);
    if (!index.ok) return index;
    const [serves, all] = await Promise.all([this.dhcp.serve(portGroupId, device, index.value, hosts), this.ovs.ports()]);
    if (!serves.ok) return serves;
    if (!all.ok) return all;
    const there = all.value.filter((port) => port.bridge === bridge);
    const uplinks = there.flatMap((port) => port.ids.get('tok-uplinks')?.split(' ') ?? []);
    // A NIC that has only its tap yet gets its port, and these rules anew, in its own turn; a rule for it would be refused now.
    const ports = members.map((one) => tapName(one.nic.nicId)).filter((name) => there.some((port) => port.name === name));
    return this.ovs.changeFlows(bridge, [
      ...portGroupFlows({ portGroupId, vlan: first.nic.vlan, dhcpPort: device, ports, uplinks }),
      ...also.flows,
    ]);
  }

  private async endGroup(bridge: string, portGroupId: string, ports: readonly string[] = []): Promise<Result<void>> {
    await this.dhcp.end(portGroupId);
    return this.takeOut(bridge, { groups: [portGroupId], along: ports });
  }

  /** After the uplinks of a bridge changed. */
  async refreshGroups(bridge: string): Promise<Result<void>> {
    for (const group of new Set(this.attached().filter((one) => one.bridge === bridge).map((one) => one.nic.portGroupId))) {
      const done = await this.refreshGroup(bridge, group);
      if (!done.ok) return done;
    }
    return ok(undefined);
  }

  async detach(vmId: string, nicIds: readonly string[] | 'all'): Promise<Result<void>> {
    const all = await this.ovs.ports();
    if (!all.ok) return all;
    const chosen = (id: string | undefined): boolean => id !== undefined && (nicIds === 'all' || nicIds.includes(id));
    const present = all.value.filter((port) => port.ids.get('tok-vm') === vmId && chosen(port.ids.get('tok-nic')));
    const known = this.attached().filter((one) => one.vmId === vmId && chosen(one.nic.nicId));
    const wanted = nicIds === 'all' ? known.map((one) => one.nic.nicId) : nicIds;
    for (const { nic } of known) this.nics.delete(nic.nicId);
    for (const nicId of wanted) this.tapped.delete(nicId);

    const groups = new Map<string, string>(known.map((one) => [one.nic.portGroupId, one.bridge]));
    for (const { ids, bridge } of present) {
      const group = ids.get('tok-group');
      if (group !== undefined) groups.set(group, bridge);
    }
    const idle = [...groups].filter(([group]) => !this.isServed(group));
    for (const [group] of idle) groups.delete(group);
    const gone = await this.unplug(present, idle);
    if (!gone.ok) return gone;
    // Out of the switch they have nothing to do with it any more. A tap can be there without its port, when the agent died between the two.
    const [untapped, fit] = await allEnded(this.network.removeTaps([...wanted.map(tapName), ...present.map(({ name }) => name)]), this.refreshEach(groups));
    return untapped.ok ? fit : untapped;
  }

  private async refreshEach(groups: ReadonlyMap<string, string>): Promise<Result<void>> {
    for (const [group, bridge] of groups) {
      const fits = await this.refreshGroup(bridge, group);
      if (!fits.ok) return fits;
    }
    return ok(undefined);
  }

  /** Ports, and port groups with their bridges that nobody is in any more. */
  private async unplug(ports: readonly OvsPort[], idle: readonly (readonly [group: string, bridge: string])[] = []): Promise<Result<void>> {
    for (const [group] of idle) await this.dhcp.end(group);
    for (const bridge of new Set([...ports.map((port) => port.bridge), ...idle.map(([, of]) => of)])) {
      const gone = await this.takeOut(bridge, { ports: ports.filter((port) => port.bridge === bridge), groups: idle.flatMap(([group, of]) => (of === bridge ? [group] : [])) });
      if (!gone.ok) return gone;
    }
    return ok(undefined);
  }

  /** Their rules in one bundle, then the ports and the groups' DHCP ports in one transaction, with what goes `along`. */
  private async takeOut(bridge: string, { ports = [], groups = [], along = [] }: { ports?: readonly OvsPort[]; groups?: readonly string[]; along?: readonly string[] }): Promise<Result<void>> {
    const unruled = await this.ovs.changeFlows(bridge, [...ports.map(({ ids }) => nicCookie(ids.get('tok-nic') ?? '')), ...groups.map(portGroupCookie)].flatMap(withoutFlows));
    return unruled.ok ? this.ovs.removePorts(bridge, [...ports.map(({ name }) => name), ...groups.map(dhcpPortName)], along) : unruled;
  }

  private async removePort(port: OvsPort): Promise<Result<void>> {
    const gone = await this.unplug([port]);
    return gone.ok ? this.network.removeTaps([port.name]) : gone;
  }

  /** Everything of `wanted` is there, and nothing of ours beside it. */
  async restore(wanted: readonly AttachedNic[], bridges: readonly string[]): Promise<Result<void>> {
    this.nics.clear();
    this.tapped.clear();
    for (const one of wanted) this.nics.set(one.nic.nicId, one);
    const all = await this.ovs.ports();
    if (!all.ok) return all;
    for (const port of all.value.filter((one) => one.ids.has('tok-nic') && !this.nics.has(one.ids.get('tok-nic') ?? ''))) {
      const gone = await this.removePort(port);
      if (!gone.ok) return gone;
    }
    const taps = new Set(wanted.map((one) => tapName(one.nic.nicId)));
    const gone = await this.network.removeTaps((await this.network.ourTaps()).flatMap(({ ifname }) => (taps.has(ifname) ? [] : [ifname])));
    if (!gone.ok) return gone;
    const ended = await this.endIdleGroups(all.value, bridges);
    if (!ended.ok) return ended;
    for (const one of wanted) {
      const made = await this.make(tapName(one.nic.nicId), one);
      if (!made.ok) return made;
    }
    return ok(undefined);
  }

  /** Everything of ours and on our bridges, and who has it. */
  async survey(): Promise<Result<PortSurvey>> {
    const all = await this.ovs.ports();
    if (!all.ok) return all;
    const taps = await this.network.ourTaps();
    const there = new Set(all.value.map(({ name }) => name));
    const alone = taps.filter(({ ifname }) => !there.has(ifname)).map(({ ifname, nicId }): PortSeen => {
      const owner = this.nics.get(nicId);
      return { ifname, bridge: null, kind: 'tap', nicId, vmId: owner?.vmId ?? null, owned: owner !== undefined };
    });
    const missing = this.attached().map(({ vmId, nic }) => ({ vmId, nicId: nic.nicId, ifname: tapName(nic.nicId) })).filter(({ ifname }) => !there.has(ifname));
    return ok({
      ports: [...all.value.filter((port) => !isOfSwitch(port)).map((port) => this.seen(port)), ...alone],
      missing: missing.map((one) => ({ ...one, tap: taps.some(({ ifname }) => ifname === one.ifname) })),
    });
  }

  private seen({ name, bridge, ids }: OvsPort): PortSeen {
    const group = ids.get('tok-dhcp');
    const nicId = ids.get('tok-nic') ?? null;
    if (group !== undefined) return { ifname: name, bridge, kind: 'dhcp', nicId: null, vmId: null, owned: this.isServed(group) };
    return { ifname: name, bridge, kind: nicId === null ? 'foreign' : 'nic', nicId, vmId: ids.get('tok-vm') ?? null, owned: nicId !== null && this.nics.has(nicId) };
  }

  private isServed(group: string): boolean {
    return this.attached().some((one) => one.nic.portGroupId === group && served(one) !== null);
  }

  /** Removes what no VM has. `mayRun` is asked here, within the turn: a start that begins now makes its tap after it. */
  async removeStray(ifname: string, foreign: boolean, mayRun: (vmId: string) => Promise<boolean>): Promise<Result<void>> {
    const all = await this.ovs.ports();
    if (!all.ok) return all;
    const port = all.value.find(({ name }) => name === ifname);
    const tap = (await this.network.ourTaps()).find((one) => one.ifname === ifname);
    const nicId = port === undefined ? tap?.nicId : port.ids.get('tok-nic');
    const owner = nicId === undefined ? undefined : this.nics.get(nicId);
    if (owner !== undefined && (await mayRun(owner.vmId))) return InUse.fail(`the VM ${owner.vmId} has ${ifname}`, { by: [{ noun: 'vm', id: owner.vmId }] });
    if (nicId !== undefined) this.nics.delete(nicId);
    if (port === undefined) return tap === undefined ? ok(undefined) : this.network.removeTaps([ifname]);
    const group = port.ids.get('tok-dhcp');
    if (group !== undefined) return this.isServed(group) ? InUse.fail(`${ifname} gives addresses to VMs`, { by: [] }) : this.endGroup(port.bridge, group);
    if (nicId === undefined && (!foreign || isOfSwitch(port))) return InUse.fail(`${ifname} belongs to the switch, or nobody here has made it`, { by: [] });
    const gone = nicId === undefined ? await this.ovs.vsctl('--if-exists', 'del-port', port.bridge, ifname) : await this.removePort(port);
    const left = port.ids.get('tok-group');
    if (!gone.ok) return gone;
    return left === undefined ? ok(undefined) : this.refreshGroup(port.bridge, left);
  }

  private async endIdleGroups(ports: readonly OvsPort[], bridges: readonly string[]): Promise<Result<void>> {
    const busy = new Set<string>(this.attached().filter((one) => served(one) !== null).map((one) => one.nic.portGroupId));
    for (const group of (await this.dhcp.known()).filter((id) => !busy.has(id))) await this.dhcp.end(group);
    for (const port of ports) {
      const group = port.ids.get('tok-dhcp');
      const ended = group === undefined || busy.has(group) ? ok(undefined) : await this.endGroup(port.bridge, group);
      if (!ended.ok) return ended;
    }
    const cookies = new Set([...this.nics.keys()].map(nicCookie).concat([...busy].map(portGroupCookie)));
    for (const bridge of bridges) {
      const dumped = await this.ovs.dumpFlows(bridge);
      if (!dumped.ok) return dumped;
      const stale = new Set([...dumped.value.matchAll(/cookie=(0x[12]000[0-9a-f]{12})\b/g)].flatMap(([, cookie]) => (cookie === undefined || cookies.has(cookie) ? [] : [cookie])));
      const cleared = await this.ovs.changeFlows(bridge, [...stale].flatMap(withoutFlows));
      if (!cleared.ok) return cleared;
    }
    return ok(undefined);
  }
}
