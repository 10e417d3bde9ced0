// The AsyncAPI 3.0 text of the bus, made from the contracts alone: one document of what users and operators may say and
// hear, one of what services and hosts say to each other. Same contracts, same text; a new contract is in it by itself.
import { isOpenToUsers, isPublishable } from '../bus-door.ts';
import { allEvents, allOperations } from '../catalogue.ts';
import type { EventDef, HostOperation, Operation, Report } from '../define.ts';
import { ErrorBody } from '../errors.ts';
import { FeedMessage, feedSubject } from '../gateway/event-feed.ts';
import { Heartbeat, hostCommands, reports } from '../host/index.ts';
import type { Json } from '../json-schema.ts';
import { Plan } from '../plan.ts';
import { EventEnvelope } from '../task.ts';
import { AsyncApiDraft } from './draft.ts';
import { headerExamples, headerSchemas, parameters, securitySchemes, server } from './frame.ts';
import { requests } from './requests.ts';

const byUsers = allOperations.filter(isOpenToUsers);

/** What users and operators may publish and subscribe: the promise that clients rely on. */
export function asyncApi(): Json {
  const draft = draftWith(['user', 'objectId', 'hostId', 'feedId']);
  for (const operation of byUsers) ask(draft, operation);
  for (const operation of byUsers.filter(isPublishable)) publish(draft, operation);
  feed(draft);
  for (const event of allEvents) tell(draft, event);
  heartbeat(draft);
  return draft.document({
    info: {
      title: 'The bus of Tokamak', version: '1', license: { name: 'Apache-2.0', url: 'https://www.apache.org/licenses/LICENSE-2.0' },
      description: 'Bodies are plain JSON, so any NATS client speaks it. `ask.…` is request/reply; `publish.…` is kept by the stream `COMMANDS` and carried out once; `event.…` says what has happened. Users ask and publish with credentials of their own, and hear events on feeds that they make (`gateway.event-feed.create`); `event.…` and `heartbeat` are for operators with credentials of the role `ops`. Every refusal is a message `refusal` with a stable `code`.',
    },
    servers: server(['user', 'ops']),
  }, 'The reply subject that the request names: below `_INBOX.user.<user>.`; there and at his own feeds a user may listen, nowhere else.', { securitySchemes: securitySchemes(['user', 'ops']) });
}

/** What services and hosts say to each other. It may change with any version. */
export function asyncApiInside(): Json {
  const draft = draftWith(['hostId']);
  for (const operation of allOperations) serve(draft, operation);
  for (const command of hostCommands as readonly HostOperation[]) order(draft, command);
  for (const told of reports as readonly Report[]) report(draft, told);
  return draft.document({
    info: {
      title: 'Tokamak inside', version: '1', license: { name: 'Apache-2.0', url: 'https://www.apache.org/licenses/LICENSE-2.0' },
      description: 'Requests between services, commands to hosts and their reports. Only holders of a credential of a service or a host get here, and what is said here may change with any version; users have the document beside it.',
    },
    servers: server(['service', 'host']),
  }, 'The reply subject that the request names: below `_INBOX.<name>.` of whoever asks.', { securitySchemes: securitySchemes(['service', 'host']) });
}

function draftWith(names: readonly (keyof typeof parameters)[]): AsyncApiDraft {
  const draft = new AsyncApiDraft(Object.fromEntries(names.map((name) => [name, parameters[name]])));
  for (const [id, schema] of Object.entries(headerSchemas)) draft.keep(id, schema);
  return draft;
}

const rightText = ({ permission, on }: Operation): string => (permission === 'authenticated' ? 'For every signed-in user, about himself.' : permission === 'internal' ? 'For services.' : permission === 'public' ? 'Needs no user.' : `Needs the right \`${permission}\`${on === undefined ? '' : ` on \`${on}\``}.`);
const descriptionOf = (operation: Operation): string => [operation.description, rightText(operation)].filter(Boolean).join('\n\n');
const codesOf = ({ errors }: { errors: readonly { code: string }[] }): string[] => [...new Set(errors.map(({ code }) => code))];
const tagsOf = ({ service, noun }: { service: string; noun: string }): string[] => [`${service}: ${noun}`];

/** The input of an operation, which every message that asks for it shares. */
function inputOf(draft: AsyncApiDraft, operation: Operation): { payload: Json; example: unknown } {
  const payload = draft.keep(`${operation.name}.input`, draft.schemaOf(operation.input, 'input'));
  return { payload, example: requests[operation.name] ?? draft.example(payload, 'input') };
}

/** Operations that answer the same named schema answer the same message. */
function replyOf(draft: AsyncApiDraft, { name, reply }: Pick<Operation, 'name' | 'reply'>): string {
  const payload = draft.schemaOf(reply, 'output');
  return draft.message(reply.meta()?.id ?? `${name}.reply`, { payload, example: { payload: draft.example(payload, 'output') } });
}

function refusal(draft: AsyncApiDraft): string {
  return draft.message('refusal', {
    title: 'Refused', summary: '`code` is stable, `detail` is for people', headers: 'RefusalHeaders', payload: draft.schemaOf(ErrorBody, 'output'),
    example: { headers: headerExamples.refusal, payload: { code: 'NOT_FOUND', detail: 'There is no VM with this id.', details: { noun: 'vm', id: '0198a7c2-0000-7000-8000-00000000000a' }, traceId: '0af7651916cd43dd8448eb211c80319c' } },
  });
}

function plan(draft: AsyncApiDraft): string {
  const payload = draft.schemaOf(Plan, 'output');
  return draft.message('Plan', { title: 'What would happen', summary: 'The answer when the request carries `Tok-Dry-Run: true`', payload, example: { payload: draft.example(payload, 'output') } });
}

const repliesTo = (draft: AsyncApiDraft, operation: Operation): string[] => [replyOf(draft, operation), ...(operation.dryRun ? [plan(draft)] : []), refusal(draft)];

function ask(draft: AsyncApiDraft, operation: Operation): void {
  const { name, summary } = operation;
  const id = `ask.${name}`;
  const { payload, example } = inputOf(draft, operation);
  const isCommand = operation.kind === 'command';
  const message = draft.message(`${name}.request`, { title: summary, headers: isCommand ? 'CommandHeaders' : 'QuestionHeaders', payload, example: isCommand ? { headers: headerExamples.command, payload: example } : { payload: example } });
  draft.channel(id, { address: `tok.v1.user.{user}.req.${name}`, messages: [message] });
  draft.operation(id, { action: 'receive', channel: id, messages: [message], summary, description: descriptionOf(operation), security: 'user', tags: tagsOf(operation), queue: 'gateway', reply: repliesTo(draft, operation), errors: codesOf(operation) });
}

function publish(draft: AsyncApiDraft, operation: Operation): void {
  const { name, summary } = operation;
  const id = `publish.${name}`;
  const { payload, example } = inputOf(draft, operation);
  const message = draft.message(`${name}.command`, { title: summary, headers: 'PublishedHeaders', payload, example: { headers: headerExamples.command, payload: example } });
  draft.channel(id, { address: `tok.v1.user.{user}.cmd.${name}`, messages: [message] });
  draft.operation(id, { action: 'receive', channel: id, messages: [message], summary, description: 'Kept by the stream `COMMANDS` when JetStream acknowledges it. The outcome is an event: `gateway.command.accepted` or `gateway.command.refused`.', security: 'user', tags: tagsOf(operation), errors: codesOf(operation) });
}

function tell(draft: AsyncApiDraft, event: EventDef): void {
  const { name, version, summary } = event;
  const id = `event.${name}`;
  const data = draft.schemaOf(event.data, 'output');
  const envelope = draft.schemaOf(EventEnvelope, 'output');
  const payload = { allOf: [envelope, { type: 'object', properties: { name: { const: name }, version: { const: version }, data } }] };
  const { name: _name, version: _version, ...rest } = draft.example(envelope, 'output') as Json;
  const example = { ...rest, name, version, source: event.service, noun: event.noun, data: draft.example(data, 'output') };
  const message = draft.message(id, { payload, example: { payload: example } });
  draft.channel(id, { address: `tok.v1.evt.${name}.{objectId}`, messages: [message] });
  draft.operation(id, { action: 'send', channel: id, messages: [message], summary, security: 'ops', tags: tagsOf(event) });
}

function feed(draft: AsyncApiDraft): void {
  const payload = draft.schemaOf(FeedMessage, 'output');
  const message = draft.message('FeedMessage', { title: 'Events of a feed', payload, example: { payload: draft.example(payload, 'output') } });
  draft.channel('feed', { address: feedSubject('{user}', '{feedId}'), messages: [message] });
  draft.operation('feed', { action: 'send', channel: 'feed', messages: [message], summary: 'Events pushed to a user, in order and without a gap', security: 'user', tags: ['gateway: event-feed'] });
}

function heartbeat(draft: AsyncApiDraft): void {
  const payload = draft.schemaOf(Heartbeat, 'output');
  const message = draft.message('heartbeat', { payload, example: { payload: draft.example(payload, 'output') } });
  draft.channel('heartbeat', { address: 'tok.v1.hb.{hostId}', messages: [message] });
  draft.operation('heartbeat', { action: 'send', channel: 'heartbeat', messages: [message], summary: 'A host lives: every second, for nobody to decide by', security: 'ops', tags: ['host'] });
}

function serve(draft: AsyncApiDraft, operation: Operation): void {
  const { name, summary, subject } = operation;
  const { payload, example } = inputOf(draft, operation);
  const message = draft.message(`${name}.request`, { title: summary, headers: 'ServiceHeaders', payload, example: { headers: headerExamples.service, payload: example } });
  draft.channel(name, { address: subject, messages: [message] });
  draft.operation(name, { action: 'receive', channel: name, messages: [message], summary, description: descriptionOf(operation), security: 'service', tags: tagsOf(operation), queue: operation.service, reply: repliesTo(draft, operation), errors: codesOf(operation) });
}

function order(draft: AsyncApiDraft, { name, summary, input, reply, probe, errors }: HostOperation): void {
  const id = `host.${name}`;
  const payload = draft.keep(`${id}.input`, draft.schemaOf(input, 'input'));
  const message = draft.message(`${id}.request`, { title: summary, headers: 'HostHeaders', payload, example: { payload: draft.example(payload, 'input') } });
  draft.channel(id, { address: `tok.v1.host.{hostId}.${name}`, messages: [message] });
  draft.operation(id, { action: 'receive', channel: id, messages: [message], summary, description: `How its effect is found after a crash: ${probe}.`, security: 'service', tags: ['host'], reply: [replyOf(draft, { name: id, reply }), refusal(draft)], errors: codesOf({ errors }) });
}

function report(draft: AsyncApiDraft, { name, summary, body }: Report): void {
  const id = `report.${name}`;
  const payload = draft.schemaOf(body, 'output');
  const message = draft.message(id, { payload, example: { payload: draft.example(payload, 'output') } });
  draft.channel(id, { address: `tok.v1.rpt.{hostId}.${name}`, messages: [message] });
  draft.operation(id, { action: 'send', channel: id, messages: [message], summary, security: 'host', tags: ['host'] });
}
