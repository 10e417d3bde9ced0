// The forms a setting can have. Each takes the text of an environment variable and says in words what is wrong with it.
import { z } from 'zod';

/** A URL of one of `schemes`. The message never repeats the text: a URL may carry a password. */
export const UrlOf = (...schemes: readonly string[]) =>
  z.string().refine((text) => URL.canParse(text) && schemes.includes(new URL(text).protocol.slice(0, -1)), `must be a URL that starts with ${schemes.map((scheme) => `${scheme}://`).join(' or ')}`);

/** One or several NATS servers, separated by commas. */
export const NatsUrl = z.string().refine(
  (text) => text.split(',').every((part) => URL.canParse(part) && ['nats:', 'tls:', 'ws:', 'wss:'].includes(new URL(part).protocol)),
  'must be one or more URLs that start with nats:// or tls://, separated by commas',
);

/** Networks, separated by commas. */
export const Networks = z.string().transform((text) => text.split(',').map((part) => part.trim()).filter((part) => part !== ''))
  .refine((parts) => parts.every((part) => z.cidrv4().safeParse(part).success || z.cidrv6().safeParse(part).success), 'must be networks separated by commas, like 10.0.0.0/8,fd00::/8');

export const AbsolutePath = z.string().regex(/^\/[^\0]*$/, 'must be an absolute path');

/** A TCP port; 0 lets the system choose one. */
export const Port = z.string().regex(/^\d{1,5}$/, 'must be a port number').transform(Number).refine((port) => port <= 65_535, 'must be at most 65535');

/** A user or group id of the host; never root's. */
export const SystemId = z.string().regex(/^\d{1,10}$/, 'must be a numeric id').transform(Number).refine((id) => id > 0 && id < 4_294_967_294, 'must be between 1 and 4294967293');

/** A number of bytes that JSON numbers carry exactly. */
export const ByteCount = z.string().regex(/^\d{1,15}$/, 'must be a number of bytes').transform(Number);

/** `first-last`, both included. */
export const IdRange = z.string().regex(/^\d{1,10}-\d{1,10}$/, 'must be two ids with a dash between, like 200000-265535')
  .transform((text) => {
    const [first = 0, last = 0] = text.split('-').map(Number);
    return { first, last };
  })
  .refine(({ first, last }) => first > 0 && last >= first && last < 4_294_967_294, 'must go from a smaller id above 0 to a larger one');
export type IdRange = z.output<typeof IdRange>;

/** Linux: 1 to 15 characters, no slash, no space. */
const interfaceName = z.string().regex(/^[^\s/]{1,15}$/).refine((name) => name !== '.' && name !== '..');

/** JSON object: uplink name to network interface. */
export const Uplinks = z.string()
  .transform((text, context) => {
    const read = z.record(z.string().min(1).max(63), interfaceName).safeParse(parsed(text));
    if (read.success) return read.data;
    context.addIssue({ code: 'custom', message: 'must be a JSON object of uplink name to interface, like {"uplink0":"eth1"}' });
    return z.NEVER;
  });

/** `<noun>.<things>=<number>`, separated by commas; `none` for none. */
export const SlotLimits = z.string().transform((text, context): Readonly<Record<string, number>> => {
  const limits: Record<string, number> = {};
  if (text.trim() === 'none') return limits;
  for (const part of text.split(',').map((piece) => piece.trim()).filter((piece) => piece !== '')) {
    const [, name, most] = /^([a-z]+\.[a-z]+)=(\d{1,6})$/.exec(part) ?? [];
    if (name === undefined || most === undefined || Number(most) < 1 || name in limits) {
      context.addIssue({ code: 'custom', message: `must be limits of at least 1, each once, like host.starts=16,datastore.copies=4; "${part}" is none` });
      return z.NEVER;
    }
    limits[name] = Number(most);
  }
  return limits;
});

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export const HostId = z.string().regex(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/, 'must be a UUID in lower case');
export const HostName = z.string().regex(/^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$/i, 'must be a host name');
export const CgroupName = z.string().regex(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}$/, 'must be letters, digits, dot, dash and underscore');
