// The AsyncAPI documents are what the specification calls valid, say what the server and the door allow, and every message
// has an example that its contract takes.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { Ajv } from 'ajv';
import addFormats from 'ajv-formats';
import { rolesFor } from '../../libs/bus/src/nats-roles.ts';
import { allEvents, allOperations, asyncApi, asyncApiInside, ErrorBody, EventEnvelope, FeedMessage, Heartbeat, hostCommands, isOpenToUsers, isPublishable, Plan, reports, services } from '#contracts';
import type { HostOperation, Json, Report } from '#contracts';
import type { z } from 'zod';
import { root } from './services.ts';

interface Example { readonly headers?: Json; readonly payload: unknown }
interface Message { readonly name: string; readonly payload: Json; readonly headers?: Json; readonly examples: readonly Example[] }
interface Channel { readonly address: string | null; readonly messages: Readonly<Record<string, Json>> }
interface Told { readonly action: string; readonly channel: { $ref: string }; readonly messages: readonly { $ref: string }[]; readonly reply?: { messages: readonly { $ref: string }[] }; readonly security: readonly { $ref: string }[] }
interface Document { readonly channels: Readonly<Record<string, Channel>>; readonly operations: Readonly<Record<string, Told>>; readonly components: { messages: Readonly<Record<string, Message>> } }

const documents = { users: asyncApi() as unknown as Document, inside: asyncApiInside() as unknown as Document };
const each = Object.entries(documents);

/** Schemas say only what JSON schema can; what contracts demand beyond that, zod says. */
const validator = (): Ajv => {
  const ajv = new Ajv({ strict: false, allErrors: true, validateFormats: true });
  addFormats.default(ajv);
  for (const format of ['cidrv4', 'base64', 'starts_with']) ajv.addFormat(format, true);
  return ajv;
};

describe('the documents', () => {
  it.each(each)('of %s is valid by the schema of AsyncAPI 3.0.0', (_, document) => {
    const schema = JSON.parse(readFileSync(createRequire(import.meta.url).resolve('@asyncapi/specs/schemas/3.0.0-without-$id.json'), 'utf8')) as Json;
    const ajv = validator();
    expect([ajv.validate(schema, document), ajv.errors]).toEqual([true, null]);
  });

  it.each(each)('of %s refers only to what it has', (_, document) => {
    const references = [...new Set([...JSON.stringify(document).matchAll(/"\$ref":"([^"]+)"/g)].map(([, reference]) => reference!))];
    const missing = references.filter((reference) => reference.slice(2).split('/').reduce<unknown>((value, step) => (typeof value === 'object' && value !== null ? (value as Json)[step.replaceAll('~1', '/').replaceAll('~0', '~')] : undefined), document) === undefined);
    expect(missing).toEqual([]);
    expect(references.length).toBeGreaterThan(100);
  });

  it.each(each)('of %s lets operations take messages of their channel alone', (_, { operations, channels }) => {
    const strays = Object.entries(operations).filter(([, { channel, messages, reply }]) => {
      const own = channel.$ref.slice('#/channels/'.length);
      return !messages.every(({ $ref }) => $ref.startsWith(`${channel.$ref}/messages/`) && $ref.slice(`${channel.$ref}/messages/`.length) in channels[own]!.messages)
        || reply?.messages.some(({ $ref }) => !($ref.slice('#/channels/inbox/messages/'.length) in channels['inbox']!.messages)) === true;
    });
    expect(strays.map(([id]) => id)).toEqual([]);
  });

  it('name every operation that the bus door takes, every command that can be published, and every event, once', () => {
    const ids = Object.keys(documents.users.operations);
    const named = (prefix: string): string[] => ids.filter((id) => id.startsWith(prefix)).map((id) => id.slice(prefix.length));
    expect(named('ask.')).toEqual(allOperations.filter(isOpenToUsers).map(({ name }) => name));
    expect(named('publish.')).toEqual(allOperations.filter(isPublishable).map(({ name }) => name));
    expect(named('event.')).toEqual(allEvents.map(({ name }) => name));
    expect(Object.keys(documents.inside.operations)).toEqual([...allOperations.map(({ name }) => name), ...hostCommands.map(({ name }) => `host.${name}`), ...reports.map(({ name }) => `report.${name}`)].sort());
  });
});

/** Whether a pattern of the server lets an address be: `*` is one part, `>` all that follow. */
function allows(pattern: string, address: string): boolean {
  const parts = address.split('.');
  const wanted = pattern.split('.');
  return wanted.every((want, at) => (want === '>' ? parts.length > at : want === '*' || want === parts[at] || /^\{+/.test(want))) && (wanted.at(-1) === '>' || wanted.length === parts.length);
}

describe('what a user or an operator may do', () => {
  const roles = rolesFor(services);
  const rightOf: Readonly<Record<string, (action: string) => readonly string[]>> = {
    user: (action) => (action === 'receive' ? roles['user']!.publish : roles['user']!.subscribe),
    ops: (action) => (action === 'receive' ? roles['ops']!.publish : roles['ops']!.subscribe),
  };
  it('is what the NATS server lets the holder of these credentials do', () => {
    const refused = Object.entries(documents.users.operations).filter(([, { action, channel, security }]) => {
      const { address } = documents.users.channels[channel.$ref.slice('#/channels/'.length)]!;
      const holder = security[0]!.$ref.split('/').at(-1)!;
      return !rightOf[holder]!(action).some((pattern) => allows(pattern, address!));
    });
    expect(refused.map(([id]) => id)).toEqual([]);
  });
});

/** The contract of a message, by its name. */
const contracts = new Map<string, z.ZodType>([
  ...allOperations.flatMap(({ name, input, reply }) => [[`${name}.request`, input], [`${name}.command`, input], [reply.meta()?.id ?? `${name}.reply`, reply]] as [string, z.ZodType][]),
  ...(hostCommands as readonly HostOperation[]).flatMap(({ name, input, reply }) => [[`host.${name}.request`, input], [reply.meta()?.id ?? `host.${name}.reply`, reply]] as [string, z.ZodType][]),
  ...(reports as readonly Report[]).map(({ name, body }) => [`report.${name}`, body] as [string, z.ZodType]),
  ...allEvents.map(({ name, data }) => [`event.${name}`, EventEnvelope.extend({ data })] as [string, z.ZodType]),
  ['heartbeat', Heartbeat], ['refusal', ErrorBody], ['Plan', Plan], ['FeedMessage', FeedMessage],
]);

describe.each(each)('examples of %s', (name, document) => {
  const messages = Object.values(document.components.messages);

  it('are there for every message', () => {
    expect(messages.filter(({ examples }) => examples.length === 0).map((message) => message.name)).toEqual([]);
    expect(messages.filter((message) => !contracts.has(message.name)).map((message) => message.name)).toEqual([]);
  });
  it('are taken by their contracts', () => {
    const refused = messages.flatMap((message) => message.examples.flatMap(({ payload }) => {
      const parsed = contracts.get(message.name)!.safeParse(payload);
      return parsed.success ? [] : [`${message.name}: ${parsed.error.issues.map(({ path, message: text }) => `${path.join('.')} ${text}`).join('; ')}`];
    }));
    expect(refused).toEqual([]);
  });
  it('are taken by the JSON schemas of payload and headers', () => {
    const ajv = validator().addSchema(document, name);
    const refused = messages.flatMap((message) => message.examples.flatMap((example) => (['payload', 'headers'] as const).flatMap((part) => {
      if (message[part] === undefined) return example[part] === undefined ? [] : [`${message.name}: ${part} without schema`];
      const validate = ajv.getSchema(`${name}#/components/messages/${message.name}/${part}`)!;
      return validate(example[part] ?? {}) === true ? [] : [`${message.name} ${part}: ${JSON.stringify(validate.errors)}`];
    })));
    expect(refused).toEqual([]);
  });
});

it('what is committed is read as JSON by anybody', () => {
  for (const file of ['asyncapi.json', 'asyncapi-inside.json']) expect(JSON.parse(readFileSync(join(root, 'docs/reference', file), 'utf8'))).toMatchObject({ asyncapi: '3.0.0' });
});
