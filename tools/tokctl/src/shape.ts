// What kind of value a member of a contract takes, read from its zod schema without running it.
import { z } from 'zod';
import { Bytes, CpuTopology } from '#contracts';
import { nounOfSchema } from './nouns.ts';
import type { NounName } from './nouns.ts';

export type Shape =
  | { readonly kind: 'text' | 'integer' | 'number' | 'size' | 'duration' | 'boolean' | 'secret' | 'any' }
  | { readonly kind: 'choice'; readonly values: readonly string[] }
  | { readonly kind: 'reference'; readonly noun: NounName }
  | { readonly kind: 'list'; readonly item: Shape }
  | { readonly kind: 'pairs' }
  | { readonly kind: 'object'; readonly members: Readonly<Record<string, Member>>; readonly filling?: Readonly<Record<string, unknown>> };

export interface Member {
  readonly shape: Shape;
  readonly required: boolean;
  readonly nullable: boolean;
  readonly preset: unknown;
  readonly description: string;
}

/** Objects that people give in part: what is not said is taken from here. */
const fillings = new Map<z.ZodType, Readonly<Record<string, unknown>>>([[CpuTopology, { sockets: 1, cores: 1, threads: 1 }]]);
const secrets = /password$/i;

/** Takes the wrappers off: what is inside, and what they said. */
export function memberOf(name: string, schema: z.ZodType): Member {
  const found = { required: true, nullable: false, preset: undefined as unknown, description: '' };
  let inner = schema;
  for (;;) {
    found.description ||= inner.description ?? '';
    if (inner instanceof z.ZodOptional) found.required = false;
    else if (inner instanceof z.ZodNullable) found.nullable = true;
    else if (inner instanceof z.ZodDefault || inner instanceof z.ZodPrefault) {
      found.required = false;
      found.preset = inner.def.defaultValue;
    } else if (inner instanceof z.ZodPipe) {
      // A preprocess in front of a schema: only what it leads to matters here.
      inner = inner.def.out as z.ZodType;
      continue;
    } else break;
    inner = inner.def.innerType as z.ZodType;
  }
  return { ...found, shape: shapeOf(name, inner) };
}

const plain: readonly (readonly [RegExp, 'size' | 'duration'])[] = [[/Bytes$/, 'size'], [/Ms$/, 'duration']];

function shapeOf(name: string, schema: z.ZodType): Shape {
  const noun = nounOfSchema(schema);
  if (noun) return { kind: 'reference', noun };
  if (schema === Bytes) return { kind: 'size' };
  if (schema instanceof z.ZodNumber) return { kind: plain.find(([suffix]) => suffix.test(name))?.[1] ?? (schema.format === null || schema.format.includes('float') ? 'number' : 'integer') };
  if (schema instanceof z.ZodBoolean) return { kind: 'boolean' };
  if (schema instanceof z.ZodEnum) return { kind: 'choice', values: schema.options.map(String) };
  if (schema instanceof z.ZodLiteral) return { kind: 'choice', values: [...schema.values].map(String) };
  if (schema instanceof z.ZodArray) return { kind: 'list', item: memberOf(name, schema.def.element as z.ZodType).shape };
  if (schema instanceof z.ZodRecord) return { kind: 'pairs' };
  if (schema instanceof z.ZodObject) return objectShape(schema);
  if (schema.def.type === 'string') return { kind: secrets.test(name) ? 'secret' : 'text' };
  return { kind: 'any' };
}

function objectShape(schema: z.ZodObject): Shape {
  const members = Object.entries(schema.shape as Readonly<Record<string, z.ZodType>>).map(([name, member]) => [name, memberOf(name, member)] as const);
  const filling = fillings.get(schema);
  return { kind: 'object', members: Object.fromEntries(members), ...(filling ? { filling } : {}) };
}
