// IPv4 arithmetic of subnets: which addresses a net has, which of them may be assigned, which is the next free one.
// Pure; addresses are unsigned 32-bit numbers here and text outside.
import { InvalidArgument } from '#contracts';
import type { Result } from '#kernel';
import { ok } from '#kernel';

export interface Net {
  readonly network: number;
  readonly broadcast: number;
  readonly prefix: number;
}

/** First and last assignable address, both included. */
export interface AddressRange {
  readonly from: number;
  readonly to: number;
}

/** Prefixes that a DHCP range and its options can serve (host/shapes.ts, HostSubnet). */
const widest = 8;
const narrowest = 30;

export const parseIpv4 = (text: string): number => text.split('.').reduce((sum, octet) => sum * 256 + Number(octet), 0);
export const formatIpv4 = (address: number): string => [24, 16, 8, 0].map((shift) => (address >>> shift) & 0xff).join('.');

const refused = (path: string, message: string): Result<never> => InvalidArgument.fail(`${path}: ${message}.`, { issues: [{ path, message }] });

/** A net in CIDR notation whose host bits are zero. */
export function parseNet(cidr: string): Result<Net> {
  const [text = '', bits = ''] = cidr.split('/');
  const prefix = Number(bits);
  if (!(prefix >= widest && prefix <= narrowest)) return refused('cidr', `the prefix must be ${widest} to ${narrowest}`);
  const address = parseIpv4(text);
  const size = 2 ** (32 - prefix);
  if (address % size !== 0) return refused('cidr', `the network of this prefix begins at ${formatIpv4(address - (address % size))}`);
  return ok({ network: address, broadcast: address + size - 1, prefix });
}

export const isHostOf = (net: Net, address: number): boolean => address > net.network && address < net.broadcast;

/** Checks a gateway and a range against their net; the range defaults to every host of the net. */
export function planRange(net: Net, gateway: string | null, wanted: { readonly from: string; readonly to: string } | undefined): Result<AddressRange> {
  if (gateway !== null && !isHostOf(net, parseIpv4(gateway))) return refused('gateway', 'not a host address of the net');
  const range = wanted === undefined ? { from: net.network + 1, to: net.broadcast - 1 } : { from: parseIpv4(wanted.from), to: parseIpv4(wanted.to) };
  if (!isHostOf(net, range.from)) return refused('range.from', 'not a host address of the net');
  if (!isHostOf(net, range.to)) return refused('range.to', 'not a host address of the net');
  if (range.from > range.to) return refused('range', 'it ends before it begins');
  if (assignable(range, gateway === null ? null : parseIpv4(gateway)) === 0) return refused('range', 'it holds no address but the gateway');
  return ok(range);
}

/** How many addresses of the range VMs can have: the gateway inside of it is nobody's. */
export function assignable(range: AddressRange, gateway: number | null): number {
  const size = range.to - range.from + 1;
  return gateway !== null && gateway >= range.from && gateway <= range.to ? size - 1 : size;
}

/** A wanted address, if the range can give it. */
export function checkWanted(range: AddressRange, gateway: number | null, wanted: string): Result<number> {
  const address = parseIpv4(wanted);
  if (address < range.from || address > range.to) return refused('ip', `must be ${formatIpv4(range.from)} to ${formatIpv4(range.to)}`);
  if (address === gateway) return refused('ip', 'this is the gateway');
  return ok(address);
}

/** The first address of `window` that is neither taken nor the gateway. */
export function firstFree(window: AddressRange, gateway: number | null, taken: ReadonlySet<number>): number | undefined {
  for (let address = window.from; address <= window.to; address++) {
    if (address !== gateway && !taken.has(address)) return address;
  }
  return undefined;
}

/**
 * The range cut into windows to search one after another, beginning at `cursor` and around to it again. Going on from
 * the last assigned address keeps an address that was just given back out of use as long as the range allows, so that
 * neighbours' ARP tables forget its old owner.
 */
export function searchWindows(range: AddressRange, cursor: number, size: number): AddressRange[] {
  const start = cursor >= range.from && cursor <= range.to ? cursor : range.from;
  return [...slices({ from: start, to: range.to }, size), ...slices({ from: range.from, to: start - 1 }, size)];
}

function slices(range: AddressRange, size: number): AddressRange[] {
  const found: AddressRange[] = [];
  for (let from = range.from; from <= range.to; from += size) found.push({ from, to: Math.min(from + size - 1, range.to) });
  return found;
}
