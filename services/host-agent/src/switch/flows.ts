// The OpenFlow rules of a switch as text for ovs-ofctl (OpenFlow 1.3): what a NIC may send, who answers DHCP, and that
// nothing passes that no rule allows. A bridge without rules passes nothing (fail_mode=secure).
import { bridgeCookie, nicCookie, portGroupCookie } from './names.ts';

/**
 * Address of the DHCP server on its port: link-local, the same on every host and port. It never reaches a wire: requests
 * are handed to the port by rule, and only DHCP replies leave it.
 */
export const dhcpServerAddress = '169.254.169.253';
/** VLAN that no traffic uses (reserved by 802.1Q): DHCP ports are in it, so that flooding never reaches them. */
export const isolatedVlan = 4095;

export interface NicFlowInput {
  readonly nicId: string;
  /** Names of ports in Open vSwitch. */
  readonly port: string;
  readonly mac: string;
  /** null = only the MAC is checked. */
  readonly ip: string | null;
  /** null = DHCP is not answered here for this NIC. */
  readonly dhcpPort: string | null;
}
export interface PortGroupFlowInput {
  readonly portGroupId: string;
  readonly vlan: number;
  readonly dhcpPort: string;
  /** NICs of the group on this host that get their address here. */
  readonly ports: readonly string[];
  readonly uplinks: readonly string[];
}

// The table, from the highest priority down; what matches none is dropped.
const priority = { dhcpReply: 220, rogueReply: 210, dhcpRequest: 200, otherRequest: 190, ownReplyOnly: 180, isolated: 170, address: 110, otherArp: 105, pass: 100, rest: 50 } as const;

const untagged = 'vlan_tci=0x0000/0x1000';
const request = 'udp,tp_src=68,tp_dst=67';
const reply = 'udp,tp_src=67,tp_dst=68';
/** RARP: QEMU tells the switches where a VM is after a migration. */
const rarp = 'dl_type=0x8035';
/** However the client sent it, the server sees a broadcast of a client without address: no route, no reverse-path filter has a say. */
const toServer = (dhcpPort: string): string => `set_field:ff:ff:ff:ff:ff:ff->eth_dst,set_field:0.0.0.0->ip_src,set_field:255.255.255.255->ip_dst,output:${dhcpPort}`;

type Rule = readonly [priority: number, match: string, actions: string];
const added = (cookie: string, rules: readonly Rule[]): string[] => rules.map(([level, match, actions]) => `add cookie=${cookie},priority=${level},${match},actions=${actions}`);

/** Lines for a bundle: the old rules of this cookie go, the new ones come, at one instant. */
const replaced = (cookie: string, rules: readonly Rule[]): string[] => [`delete cookie=${cookie}/-1`, ...added(cookie, rules)];

export function bridgeFlows(uplinks: readonly string[]): string[] {
  return replaced(bridgeCookie, [
    [priority.isolated, `dl_vlan=${isolatedVlan}`, 'drop'],
    ...uplinks.map((uplink): Rule => [priority.pass, `in_port=${uplink}`, 'NORMAL']),
  ]);
}

export function nicFlows(nic: NicFlowInput): string[] {
  const from = `in_port=${nic.port}`;
  const own = `${from},dl_src=${nic.mac},${untagged}`;
  const always: Rule[] = [
    [priority.rogueReply, `${from},${reply}`, 'drop'],
    [priority.rest, from, 'drop'],
  ];
  return replaced(nicCookie(nic.nicId), [...always, ...(nic.ip === null ? macOnly(from, own, nic.mac) : assigned(nic, nic.ip, own, from))]);
}

const macOnly = (from: string, own: string, mac: string): Rule[] => [
  [priority.address, `${own},arp,arp_sha=${mac}`, 'NORMAL'],
  [priority.otherArp, `${from},arp`, 'drop'],
  [priority.pass, own, 'NORMAL'],
];

function assigned(nic: NicFlowInput, ip: string, own: string, from: string): Rule[] {
  const arp = `${own},arp,arp_sha=${nic.mac}`;
  const dhcp: Rule[] = nic.dhcpPort === null ? [] : [
    [priority.dhcpReply, `in_port=${nic.dhcpPort},${reply},dl_dst=${nic.mac}`, `output:${nic.port}`],
    [priority.dhcpRequest, `${own},${request},nw_src=0.0.0.0`, toServer(nic.dhcpPort)],
    [priority.dhcpRequest, `${own},${request},nw_src=${ip}`, toServer(nic.dhcpPort)],
  ];
  return [
    ...dhcp,
    [priority.otherRequest, `${from},udp,tp_dst=67`, 'drop'],
    // Other DHCP servers of the network do not reach this NIC.
    [priority.ownReplyOnly, `${reply},dl_dst=${nic.mac}`, 'drop'],
    [priority.address, `${arp},arp_spa=${ip}`, 'NORMAL'],
    // The sender address of a duplicate-address probe (RFC 5227).
    [priority.address, `${arp},arp_spa=0.0.0.0`, 'NORMAL'],
    [priority.address, `${own},ip,nw_src=${ip}`, 'NORMAL'],
    [priority.address, `${own},${rarp}`, 'NORMAL'],
  ];
}

export function portGroupFlows(group: PortGroupFlowInput): string[] {
  const vlan = group.vlan === 0 ? untagged : `dl_vlan=${group.vlan}`;
  const broadcast: Rule[] = group.ports.length === 0 ? [] : [
    [priority.dhcpReply, `in_port=${group.dhcpPort},${reply},dl_dst=ff:ff:ff:ff:ff:ff`, group.ports.map((port) => `output:${port}`).join(',')],
  ];
  return replaced(portGroupCookie(group.portGroupId), [
    ...broadcast,
    ...group.uplinks.map((uplink): Rule => [priority.rogueReply, `in_port=${uplink},${vlan},${reply}`, 'drop']),
    [priority.rest, `in_port=${group.dhcpPort}`, 'drop'],
  ]);
}

export const withoutFlows = (cookie: string): string[] => [`delete cookie=${cookie}/-1`];
