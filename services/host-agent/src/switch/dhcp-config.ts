// What dnsmasq is told for one port group: exactly the assigned addresses, each only for its MAC, and no lease file,
// because MySQL and the VM documents already say who has which address.
export interface DhcpHost {
  readonly mac: string;
  readonly ip: string;
  readonly mtu: number;
  readonly subnet: { readonly subnetId: string; readonly network: string; readonly prefix: number; readonly gateway: string | null; readonly dns: readonly string[]; readonly leaseSeconds: number };
}
export interface DhcpPaths { readonly hosts: string; readonly pid: string; readonly log: string }

export function netmaskOf(prefix: number): string {
  const bits = (0xffffffff << (32 - prefix)) >>> 0;
  return [24, 16, 8, 0].map((shift) => (bits >>> shift) & 0xff).join('.');
}

/** A subnet's tag; it ties addresses to their options. */
const tagOf = (host: DhcpHost): string => `s${host.subnet.subnetId.replaceAll('-', '')}m${host.mtu}`;

/** The configuration file: one range and its options per subnet. */
export function dnsmasqConfig(device: string, hosts: readonly DhcpHost[], paths: DhcpPaths): string {
  const subnets = new Map(hosts.map((host) => [tagOf(host), host]));
  return [
    '# Written by the host agent; changes are lost.',
    'port=0', // no DNS
    `interface=${device}`,
    'except-interface=lo',
    'bind-interfaces', // the socket is bound to the device: other servers on this host go on
    'leasefile-ro',
    'dhcp-authoritative', // a VM that moved here renews a lease that this server never gave
    'no-ping',
    'dhcp-ignore=tag:!known',
    `dhcp-hostsfile=${paths.hosts}`,
    `pid-file=${paths.pid}`,
    `log-facility=${paths.log}`,
    ...[...subnets].sort(([a], [b]) => (a < b ? -1 : 1)).flatMap(([tag, host]) => subnetLines(device, tag, host)),
    '',
  ].join('\n');
}

function subnetLines(device: string, tag: string, { subnet, mtu }: DhcpHost): string[] {
  return [
    // The device has no address of the subnet, so that the host's own routes stay as they are.
    `shared-network=${device},${subnet.network}`,
    `dhcp-range=${subnet.network},static,${netmaskOf(subnet.prefix)},${subnet.leaseSeconds}`,
    `dhcp-option=tag:${tag},option:router${subnet.gateway === null ? '' : `,${subnet.gateway}`}`,
    `dhcp-option=tag:${tag},option:dns-server${subnet.dns.map((server) => `,${server}`).join('')}`,
    `dhcp-option=tag:${tag},option:mtu,${mtu}`,
  ];
}

/** One line per address. */
export function dnsmasqHosts(hosts: readonly DhcpHost[]): string {
  return hosts.map((host) => `${host.mac},set:${tagOf(host)},${host.ip},${host.subnet.leaseSeconds}\n`).sort().join('');
}
