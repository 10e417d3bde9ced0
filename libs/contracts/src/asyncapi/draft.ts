// An AsyncAPI document while it is put together: every message and every schema stands once among the components, channels
// and operations refer to them.
import type { z } from 'zod';
import { NamedSchemas } from '../json-schema.ts';
import type { Io, Json } from '../json-schema.ts';
import { exampleOf } from './example.ts';

const place = '#/components/schemas/';
const sorted = (entries: Iterable<readonly [string, Json]>): Json => Object.fromEntries([...entries].sort(([a], [b]) => (a < b ? -1 : 1)));
const part = (path: string): string => path.replaceAll('~', '~0').replaceAll('/', '~1');

export interface MessageText {
  readonly title?: string;
  readonly summary?: string;
  /** Schema of the headers, by name. */
  readonly headers?: string;
  readonly payload: Json;
  readonly example: { readonly headers?: Json; readonly payload: unknown };
}

export interface ChannelText {
  /** Null = the reply subject that whoever asks names in his message. */
  readonly address: string | null;
  readonly title?: string;
  readonly description?: string;
  readonly messages: readonly string[];
}

export interface OperationText {
  readonly action: 'receive' | 'send';
  readonly channel: string;
  readonly messages: readonly string[];
  readonly summary: string;
  readonly description?: string;
  readonly security: string;
  readonly tags: readonly string[];
  /** Queue group of the takers, of whom one takes each message. */
  readonly queue?: string;
  /** Messages of the channel `inbox` that may come back. */
  readonly reply?: readonly string[];
  /** Codes beside those that anything may answer. */
  readonly errors?: readonly string[];
}

export class AsyncApiDraft {
  private readonly schemas = new NamedSchemas(place, 'draft-7');
  private readonly messages = new Map<string, Json>();
  private readonly channels = new Map<string, Json>();
  private readonly operations = new Map<string, Json>();
  private readonly replies = new Set<string>();

  constructor(private readonly parameters: Readonly<Record<string, Json>>) {}

  schemaOf(schema: z.ZodType, io: Io): Json {
    return this.schemas.of(schema, io);
  }

  /** Names a schema that has no name in the contracts, because several messages share it. */
  keep(id: string, schema: Json): Json {
    return '$ref' in schema ? schema : this.schemas.keep(id, schema);
  }

  example(schema: Json, io: Io): unknown {
    const all = this.schemas.all() as Readonly<Record<string, Json>>;
    return exampleOf(schema, (id) => all[id] ?? {}, io === 'input');
  }

  message(id: string, { headers, example, ...text }: MessageText): string {
    this.messages.set(id, { name: id, ...text, ...(headers === undefined ? {} : { headers: this.schemas.refTo(headers) }), examples: [example] });
    return id;
  }

  channel(id: string, { messages, address, ...text }: ChannelText): void {
    const named = [...(address ?? '').matchAll(/\{([A-Za-z]+)\}/g)].map(([, name]) => name!);
    const parameters = Object.fromEntries(named.map((name) => [name, { $ref: `#/components/parameters/${name}` }]));
    this.channels.set(id, { address, ...text, messages: sorted(messages.map((name) => [name, { $ref: `#/components/messages/${name}` }] as const)), ...(named.length === 0 ? {} : { parameters }) });
  }

  operation(id: string, { channel, messages, reply, security, tags, queue, errors = [], ...text }: OperationText): void {
    const refs = (of: string, names: readonly string[]): Json[] => names.map((name) => ({ $ref: `#/channels/${part(of)}/messages/${part(name)}` }));
    for (const name of reply ?? []) this.replies.add(name);
    this.operations.set(id, {
      ...text, channel: { $ref: `#/channels/${part(channel)}` }, messages: refs(channel, messages),
      ...(reply === undefined ? {} : { reply: { channel: { $ref: '#/channels/inbox' }, messages: refs('inbox', reply) } }),
      security: [{ $ref: `#/components/securitySchemes/${security}` }], tags: tags.map((name) => ({ name })),
      ...(queue === undefined ? {} : { bindings: { nats: { queue } } }), ...(errors.length === 0 ? {} : { 'x-errors': errors }),
    });
  }

  /** `inbox` takes all that may come back; the rest is as it was added. */
  document(head: Json, inbox: string, components: Json): Json {
    if (this.replies.size > 0) this.channel('inbox', { address: null, title: 'Inbox', description: inbox, messages: [...this.replies] });
    return {
      asyncapi: '3.0.0', ...head, defaultContentType: 'application/json', channels: sorted(this.channels), operations: sorted(this.operations),
      components: { ...components, parameters: this.parameters, messages: sorted(this.messages), schemas: this.schemas.all() },
    };
  }
}
