// What stands around the messages of the bus: headers, parts of subjects, credentials and the server.
import type { Json } from '../json-schema.ts';

const text = (description: string, more: Json = {}): Json => ({ type: 'string', description, ...more });
const key = text('1 to 128 printable characters: the same key with the same body has one effect and gets one answer, with another body it is refused', { minLength: 1, maxLength: 128, pattern: '^[\\x20-\\x7e]{1,128}$' });
const traced = { traceparent: text('W3C trace context: your trace goes on through all services', { pattern: '^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$' }), tracestate: text('W3C trace context') };
const patience = { 'Tok-Timeout-Ms': text('how long you wait, from now; the default is the operation’s', { pattern: '^[0-9]{1,9}$' }) };
const dry = { 'Tok-Dry-Run': { type: 'string', const: 'true', description: 'only asks what would happen: the answer is a `Plan`, and nothing is done' } };
const headers = (properties: Json, required: readonly string[] = []): Json => ({ type: 'object', properties, ...(required.length === 0 ? {} : { required }) });

const actor = text('who acts: the token that auth has signed for a user, or `service:<name>`');

export const headerSchemas: Readonly<Record<string, Json>> = {
  QuestionHeaders: headers({ ...patience, ...traced }),
  CommandHeaders: headers({ 'Idempotency-Key': key, ...dry, ...patience, ...traced }),
  PublishedHeaders: headers({ 'Idempotency-Key': key, ...traced }, ['Idempotency-Key']),
  ServiceHeaders: headers({ 'Tok-Actor': actor, 'Tok-Door': text('the way in that the request came by'), 'Idempotency-Key': key, ...dry, ...patience, ...traced }, ['Tok-Actor']),
  HostHeaders: headers({ ...patience, ...traced }),
  RefusalHeaders: headers({ 'Nats-Service-Error': text('the code'), 'Nats-Service-Error-Code': text('the HTTP status that REST would give', { pattern: '^[45][0-9]{2}$' }) }, ['Nats-Service-Error', 'Nats-Service-Error-Code']),
};

const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
export const headerExamples = {
  command: { 'Idempotency-Key': 'web-1', traceparent },
  service: { 'Tok-Actor': 'service:compute', 'Tok-Timeout-Ms': '10000', traceparent },
  refusal: { 'Nats-Service-Error': 'NOT_FOUND', 'Nats-Service-Error-Code': '404' },
} as const;

export const parameters = {
  user: { description: 'the user’s handle, which the credentials name; the server lets nobody else speak here', examples: ['ann'] },
  objectId: { description: 'id of the object that it is about' },
  hostId: { description: 'id of the host' },
  feedId: { description: 'id of the feed' },
} as const satisfies Readonly<Record<string, Json>>;

/** Holders of credentials, as roles of the NATS server. */
const holders = {
  user: 'A user: the file that `tokctl bus login` writes. `auth.bus-credential.create` signs the user’s public key for a while; the private key stays with him.',
  ops: 'An operator with the standard tools: looks at events, heartbeats and services, asks nobody for anything.',
  service: 'A service, under its own name.',
  host: 'A host, under its own id.',
} as const;
type Holder = keyof typeof holders;

export const securitySchemes = (names: readonly Holder[]): Json => Object.fromEntries(names.map((name) => [name, { type: 'asymmetricEncryption', description: `NATS credentials (\`.creds\`: a user JWT and the seed of its nkey). ${holders[name]}` }]));

export const server = (names: readonly Holder[]): Json => ({
  site: {
    host: '{host}:{port}', protocol: 'nats', description: 'The NATS server of the site, in operator mode; `auth.bus-credential.create` answers where it is.',
    variables: { host: { default: '127.0.0.1' }, port: { default: '4222' } }, security: names.map((name) => ({ $ref: `#/components/securitySchemes/${name}` })),
  },
});
