// An example for any JSON schema, the same each time: what the documents of the bus show, and what the tests send. Where a
// schema says too little to invent something that fits, a row here, or in `requests.ts`, says it.
import type { Json } from '../json-schema.ts';

/** By the name of a schema. */
const byName: Readonly<Record<string, unknown>> = { Time: '2026-01-31T12:00:00.000Z' };

/** By the name of the member that has it, where a bare type would say nothing. */
const byMember: Readonly<Record<string, unknown>> = {
  path: '/srv/datastore', description: 'the web server', shares: 1_000, q: 'web', fields: 'id,name', label: 'stage:test', cidr: '10.100.0.0/24', gateway: '10.100.0.1', mac: '52:54:00:12:34:56', handle: 'ann', kind: 'compute.vm.start', service: 'compute',
  operation: 'compute.vm.start', objectId: '0198a7c2-0000-7000-8000-000000000001', scopeId: '0198a7c2-0000-7000-8000-000000000001', traceId: '0af7651916cd43dd8448eb211c80319c', noun: 'vm', source: 'compute', code: 'NOT_FOUND', detail: 'There is no VM with this id.', user: 'ann',
};

const byFormat: Readonly<Record<string, unknown>> = {
  'uuid': '0198a7c2-0000-7000-8000-000000000001', 'date-time': '2026-01-31T12:00:00.000Z', 'ipv4': '10.100.0.42', 'cidrv4': '10.100.0.0/24', 'base64': 'aGVsbG8=', 'uri': 'nats://127.0.0.1:4222',
};

/** Texts that are tried where a schema has a pattern: the first that fits is taken. */
const texts = [
  'web-1', 'ann', '52:54:00:12:34:56', '/srv/datastore', '10.100.0.42', '10.100.0.0/24', '0198a7c2-0000-7000-8000-000000000001', '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
  'volumes/0198a7c2-0000-7000-8000-000000000001.qcow2', 'compute.vm.start', 'UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4', 'stage:test', 'q7Xw2'.padEnd(43, 'k'), '0af7651916cd43dd8448eb211c80319c', '1', 'a', 'A',
];

/** An id per noun, recognisable as an example. */
function exampleId(name: string): string {
  const hash = Array.from(name).reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 0xffffff, 7);
  return `0198a7c2-0000-7000-8000-000000${hash.toString(16).padStart(6, '0')}`;
}

type Resolve = (id: string) => Json;
const nameIn = (reference: string): string => reference.slice(reference.lastIndexOf('/') + 1);

/** `written` leaves out what a caller may leave out; what is read has all its members, and none that may be null. */
export function exampleOf(schema: Json, resolve: Resolve, written: boolean, member = ''): unknown {
  const again = (inner: Json, name = member): unknown => exampleOf(inner, resolve, written, name);
  const { $ref, const: only, enum: values, allOf, properties } = schema as { $ref?: string; const?: unknown; enum?: unknown[]; allOf?: Json[]; properties?: Readonly<Record<string, Json>> };
  const among = (schema['anyOf'] ?? schema['oneOf']) as Json[] | undefined;
  if ($ref !== undefined) return named(nameIn($ref), resolve, written);
  if (only !== undefined) return only;
  if (values !== undefined) return values[0];
  if (allOf?.length === 1 && properties === undefined) return again(allOf[0]!);
  if (allOf !== undefined) return Object.assign({}, ...allOf.map((part) => again(part)), properties === undefined ? {} : object(schema, again, written)) as unknown;
  if (among !== undefined) return again(among.find(({ type }) => type === 'null') ?? among[0] ?? {});
  if (Array.isArray(schema['type'])) return schema['type'].includes('null') ? null : again({ ...schema, type: schema['type'][0] as unknown });
  return plain(schema, again, written, member);
}

function named(id: string, resolve: Resolve, written: boolean): unknown {
  if (id in byName) return byName[id];
  const schema = resolve(id);
  return schema['format'] === 'uuid' ? exampleId(id) : exampleOf(schema, resolve, written);
}

type Again = (inner: Json, name?: string) => unknown;

function plain(schema: Json, again: Again, written: boolean, member: string): unknown {
  switch (schema['type']) {
    case 'object': return object(schema, again, written);
    case 'array': return list(schema, again, member);
    case 'string': return text(schema, member);
    case 'integer': case 'number': return typeof byMember[member] === 'number' ? byMember[member] : number(schema);
    case 'boolean': return true;
    case 'null': return null;
    default: return member in byMember ? byMember[member] : {};
  }
}

function object({ properties = {}, required = [] }: { properties?: Readonly<Record<string, Json>>; required?: readonly string[] }, again: Again, written: boolean): Json {
  const shown = Object.entries(properties).filter(([name]) => !written || required.includes(name));
  return Object.fromEntries(shown.map(([name, inner]) => [name, again(inner, name)]));
}

/** One item says what a list is of; inside of another list, nothing more is said. */
function list({ items, minItems = 0 }: { items?: Json | Json[]; minItems?: number }, again: Again, member: string): unknown[] {
  if (Array.isArray(items)) return items.map((item) => again(item));
  const count = Math.max(minItems, member === 'items' ? 1 : 0);
  return Array.from({ length: count }, () => again(items ?? {}, member.replace(/s$/, '')));
}

interface Texted { readonly pattern?: string; readonly format?: string; readonly minLength?: number }
function text({ pattern, format, minLength = 0 }: Texted, member: string): unknown {
  const fits = (candidate: unknown): candidate is string => typeof candidate === 'string' && candidate.length >= minLength && (pattern === undefined || new RegExp(pattern, 'u').test(candidate));
  const found = [byFormat[format ?? ''], byMember[member], ...(pattern === undefined ? [member] : []), ...texts, 'x'.repeat(minLength)].find(fits);
  if (found === undefined) throw new Error(`No example fits ${pattern ?? ''} (${member}): give one in libs/contracts/src/asyncapi/example.ts.`);
  return found;
}

interface Ranged { readonly minimum?: number; readonly multipleOf?: number }
function number({ minimum, multipleOf = 1 }: Ranged): number {
  const least = minimum === undefined || minimum < 0 ? 1 : minimum;
  return Math.max(Math.ceil(least / multipleOf) * multipleOf, multipleOf === 1 ? least : multipleOf);
}
