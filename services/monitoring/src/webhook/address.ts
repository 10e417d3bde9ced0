// Which addresses webhooks are sent to: public ones, and networks that the configuration names. Everything that IANA has set
// aside for a special purpose is refused, as are the forms of IPv6 that carry an IPv4 address inside.
// Source: IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890).
import { BlockList, isIP } from 'node:net';

const special4 = [
  '0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12', '192.0.0.0/24', '192.0.2.0/24', '192.88.99.0/24', '192.168.0.0/16', '198.18.0.0/15', '198.51.100.0/24', '203.0.113.0/24',
  '224.0.0.0/4', '240.0.0.0/4',
];
/** Of IPv6 nothing but global unicast is public, and of that not what carries another address or none at all. */
const public6 = ['2000::/3'];
const special6 = ['2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20'];

const family = (address: string): 'ipv4' | 'ipv6' => (isIP(address) === 4 ? 'ipv4' : 'ipv6');

export function networks(texts: readonly string[]): BlockList {
  const list = new BlockList();
  for (const text of texts) {
    const [address = '', bits = ''] = text.split('/');
    list.addSubnet(address, Number(bits), family(address));
  }
  return list;
}

const refused4 = networks(special4);
const reachable6 = networks(public6);
const refused6 = networks(special6);

/** `address` is one, not a name. */
export function isReachable(address: string, allowed: BlockList): boolean {
  const kind = family(address);
  // The mapped form is compared as the IPv4 address that it is.
  if (allowed.check(address, kind)) return true;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return isReachable(mapped, allowed);
  return kind === 'ipv4' ? !refused4.check(address, kind) : reachable6.check(address, kind) && !refused6.check(address, kind);
}

/** The host of a URL as an address; undefined = it is a name. WHATWG URLs write every spelling of an IPv4 address the one way. */
export function addressIn(url: URL): string | undefined {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  return isIP(host) === 0 ? undefined : host;
}
