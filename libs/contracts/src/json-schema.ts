// The JSON schemas of contracts for documents: what has a name of its own stands once and is referred to from everywhere.
import { z } from 'zod';

export type Json = { [member: string]: unknown };
/** What a caller writes (defaults may be left out), or what he reads. */
export type Io = 'input' | 'output';
type Draft = 'draft-2020-12' | 'draft-7';

/** One schema by itself, its named parts in `$defs`. */
export function jsonSchema(schema: z.ZodType, io: Io, target: Draft = 'draft-2020-12'): Json {
  const { $schema: _, ...own } = z.toJSONSchema(schema, { io, target, unrepresentable: 'any', override: insidePreprocess }) as Json & { $schema?: unknown };
  return own;
}

/** A preprocess takes what its inner schema takes. */
function insidePreprocess({ zodSchema, jsonSchema: target }: { zodSchema: z.core.$ZodTypes; jsonSchema: z.core.JSONSchema.BaseSchema }): void {
  const { def } = zodSchema._zod;
  if (def.type !== 'pipe' || def.in._zod.def.type !== 'transform') return;
  const { $schema: _, ...inner } = z.toJSONSchema(def.out, { io: 'input', unrepresentable: 'any' });
  for (const [name, value] of Object.entries(inner)) target[name] ??= value;
}

/** Collects the named schemas of one document while the others are made; `place` is where the document keeps them. */
export class NamedSchemas {
  private readonly named = new Map<string, Json>();

  constructor(private readonly place: string, private readonly draft: Draft = 'draft-2020-12') {}

  /** The schema, or a reference to it when it has a name. */
  of(schema: z.ZodType, io: Io): Json {
    const { $defs, definitions, ...own } = jsonSchema(schema, io, this.draft);
    for (const [id, definition] of Object.entries(($defs ?? definitions ?? {}) as Readonly<Record<string, Json>>)) this.keep(id, definition);
    const id = schema.meta()?.id;
    // A named root may stand among the named ones already.
    if (id === undefined || '$ref' in own) return this.hoisted(own) as Json;
    return this.keep(id, own);
  }

  /** A schema that the document names itself. */
  keep(id: string, { id: _, ...definition }: Json): Json {
    const hoisted = this.hoisted(definition) as Json;
    const before = this.named.get(id);
    if (before !== undefined && JSON.stringify(before) !== JSON.stringify(hoisted)) throw new Error(`The schema ${id} is not the same where it is written and where it is read: it cannot have one name.`);
    this.named.set(id, hoisted);
    return this.refTo(id);
  }

  refTo(id: string): Json {
    return { $ref: `${this.place}${id}` };
  }

  all(): Json {
    return Object.fromEntries([...this.named].sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  /** References to parts of one schema become references into the document; ids are for that alone. */
  private hoisted(value: unknown): unknown {
    if (Array.isArray(value)) return value.map((one) => this.hoisted(one));
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(Object.entries(value).flatMap(([name, member]) => {
      if (name === '$ref' && typeof member === 'string') return [[name, member.replace(/^#\/(\$defs|definitions)\//, this.place)]];
      if (name === 'id' && typeof member === 'string' && ('type' in value || '$ref' in value)) return [];
      return [[name, this.hoisted(member)]];
    }));
  }
}
