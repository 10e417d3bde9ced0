// The members of a contract's schema as rows for people: name, type, rule, meaning. Made from its JSON schema.
import type { z } from 'zod';
import { jsonSchema } from '#contracts';
import type { Json } from '#contracts';
import { code, table } from './markdown.ts';

const alternatives = (schema: Json): readonly Json[] | undefined => (schema['anyOf'] ?? schema['oneOf']) as readonly Json[] | undefined;

/** `string (uuid)`, `integer 1..500`, `"a" or "b"`, `list of VmDisk`. */
export function typeText(schema: Json): string {
  const { $ref, type, format, enum: values, items, const: only } = schema;
  if (typeof $ref === 'string') return $ref.slice($ref.lastIndexOf('/') + 1);
  if (Array.isArray(values)) return values.map((value) => JSON.stringify(value)).join(' or ');
  if (only !== undefined) return JSON.stringify(only);
  const among = alternatives(schema);
  if (among) return among.map(typeText).join(' or ');
  if (type === 'array') return `list of ${typeText((items ?? {}) as Json)}`;
  if (type === 'object') return objectText(schema);
  const range = rangeText(schema);
  return [typeof type === 'string' ? type : 'anything', typeof format === 'string' ? `(${format})` : '', range].filter(Boolean).join(' ');
}

function objectText({ properties }: Json): string {
  return properties === undefined ? 'object' : `{${Object.entries(properties as Readonly<Record<string, Json>>).map(([name, member]) => `${name}: ${typeText(member)}`).join(', ')}}`;
}

/** Bounds that zod writes for every safe integer say nothing. */
const bound = (value: unknown): string => (typeof value === 'number' && Math.abs(value) < Number.MAX_SAFE_INTEGER ? String(value) : '');

function rangeText({ minimum, maximum, minLength, maxLength }: Json): string {
  const [from, to] = [bound(minimum), bound(maximum)];
  if (from || to) return `${from}..${to}`;
  return maxLength === undefined ? '' : `${bound(minLength)}..${bound(maxLength)} characters`;
}

/** A table of an object's members; '' for an object without any. */
export function membersTable(schema: z.ZodType, io: 'input' | 'output'): string {
  const { properties = {}, required = [] } = jsonSchema(schema, io) as { properties?: Readonly<Record<string, Json>>; required?: readonly string[] };
  const rows = Object.entries(properties).map(([name, member]) => [
    code(name), typeText(member), required.includes(name) ? 'required' : member['default'] === undefined ? '' : `default ${code(JSON.stringify(member['default']))}`, typeof member['description'] === 'string' ? member['description'] : '',
  ]);
  return rows.length === 0 ? '' : table(['member', 'type', 'rule', 'meaning'], rows);
}

/** A named schema by its name, anything else by its members. */
export const replyText = (schema: z.ZodType): string => {
  const id = schema.meta()?.id;
  return typeof id === 'string' ? id : typeText(jsonSchema(schema, 'output'));
};
