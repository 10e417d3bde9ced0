// The kernel's side of the data path through `ip`: taps, addresses of DHCP ports, neighbours. One batch per change.
import { z } from 'zod';
import type { Result } from '#kernel';
import { ok } from '#kernel';
import { outputOf, runCommand, succeeded } from '../run-command.ts';
import { dhcpServerAddress } from './flows.ts';

const deadlineMs = 5_000;
/** The alias marks our interfaces, so that nothing of anybody else's is ever removed. */
const aliasPrefix = 'tokamak:';

const Link = z.object({
  ifindex: z.int(), ifname: z.string(), mtu: z.int(), ifalias: z.string().optional(), flags: z.array(z.string()).optional(),
  linkinfo: z.object({ info_kind: z.string().optional(), info_data: z.object({ type: z.string().optional(), user: z.union([z.number(), z.string()]).optional() }).optional() }).optional(),
});
type Link = z.infer<typeof Link>;
/** With several families `ip -j` prints empty objects for what the filter left out. */
const Links = z.array(z.unknown()).transform((all) => all.flatMap((one) => { const read = Link.safeParse(one); return read.success ? [read.data] : []; }));

const linksIn = (text: string): Link[] => (text.trim() === '' ? [] : Links.parse(JSON.parse(text)));

export class HostNetwork {
  /** `enter` is put before every command: how to get into the host's network namespace, usually nothing. */
  constructor(readonly enter: readonly string[]) {}

  /** All of them by one process, which prints what its lines ask for. */
  private batch(lines: readonly string[]): Promise<Result<string>> {
    return outputOf([...this.enter, 'ip', '-json', '-details', '-batch', '-'], { deadlineMs, input: `${lines.join('\n')}\n` });
  }

  private async change(lines: readonly string[]): Promise<Result<void>> {
    const done = await this.batch(lines);
    return done.ok ? ok(undefined) : done;
  }

  private async links(...filter: readonly string[]): Promise<Link[]> {
    const outcome = await runCommand([...this.enter, 'ip', '-json', '-details', 'link', 'show', ...filter], { deadlineMs });
    return succeeded(outcome) ? linksIn(outcome.stdout) : [];
  }

  async find(ifname: string): Promise<Link | undefined> {
    return (await this.links('dev', ifname))[0];
  }

  /** A tap that a QEMU of `uid` can open; one that exists stays, so that a running QEMU keeps its end. */
  async ensureTap(ifname: string, uid: number, mtu: number, nicId: string): Promise<Result<void>> {
    const found = await this.find(ifname);
    const usable = found?.linkinfo?.info_data?.type === 'tap' && Number(found.linkinfo.info_data.user) === uid;
    return this.change([
      ...(found !== undefined && !usable ? [`link delete dev ${ifname}`] : []),
      ...(usable ? [] : [`tuntap add dev ${ifname} mode tap user ${uid}`]),
      // Without an address of its own the host does not talk to the guest through the tap.
      `link set dev ${ifname} alias ${aliasPrefix}${nicId} mtu ${mtu} addrgenmode none`,
      `link set dev ${ifname} up`,
    ]);
  }

  /** Those of them that are there. */
  async removeTaps(ifnames: readonly string[]): Promise<Result<void>> {
    const there = ifnames.length === 0 ? [] : (await this.links('type', 'tun')).filter(({ ifname }) => ifnames.includes(ifname));
    return there.length === 0 ? ok(undefined) : this.change(there.map(({ ifname }) => `link delete dev ${ifname}`));
  }

  /** Taps that this agent made, whether or not a switch knows them. */
  async ourTaps(): Promise<{ ifname: string; nicId: string }[]> {
    const all = await this.links('type', 'tun');
    return all.flatMap(({ ifname, ifalias }) => (ifalias?.startsWith(aliasPrefix) === true && ifname.startsWith('tap') ? [{ ifname, nicId: ifalias.slice(aliasPrefix.length) }] : []));
  }

  /**
   * A DHCP port ready to serve: its address, and for each client the neighbour entry that a reply needs, because no ARP
   * passes here. Answers the interface index; a new one means that the port was made anew.
   */
  async readyDhcpPort(ifname: string, clients: readonly { ip: string; mac: string }[]): Promise<Result<number>> {
    const ready = await this.batch([
      `link set dev ${ifname} addrgenmode none`,
      `address replace ${dhcpServerAddress}/32 dev ${ifname} scope link`,
      `link set dev ${ifname} up`,
      ...clients.map(({ ip, mac }) => `neighbour replace ${ip} lladdr ${mac} dev ${ifname} nud permanent`),
      `link show dev ${ifname}`,
    ]);
    return ready.ok ? ok(linksIn(ready.value)[0]?.ifindex ?? 0) : ready;
  }
}
