// The references of the bus, the REST door, events, host commands and errors as text: same contracts, same text.
import { allErrors, allEvents, allOperations, commonErrors, errorKinds, Heartbeat, hostCommands, imageContentRoute, permissions, reports, routesOf, services } from '#contracts';
import type { HostOperation, Operation, Report } from '#contracts';
import { code, codes, page, table } from './markdown.ts';
import { membersTable, replyText } from './members.ts';

const generated = 'This page is made from the contracts by `npm run docs`; it is not edited.';
const byName = 'Types by name stand in [openapi.json](openapi.json); ids (`VmId`) are UUIDs in lower case, a `Time` is ISO 8601 in UTC.';
const codesOf = (errors: readonly { readonly code: string }[]): string => codes([...new Set(errors.map((error) => error.code))]);
const accessText: Readonly<Record<string, string>> = { public: 'anybody', authenticated: 'any signed-in user, about himself', internal: 'services only' };
const access = ({ permission, on }: Operation): string => accessText[permission] ?? `${code(permission)}${on === undefined ? '' : ` on ${code(on)}`}`;

/** Every operation with a route: how it is called over HTTP. */
export function restReference(): string {
  const routes = routesOf(allOperations).toSorted((a, b) => (`${a.path} ${a.method}` < `${b.path} ${b.method}` ? -1 : 1));
  const rows = routes.map(({ method, path, operation, successStatus }) => [code(`${method} ${path}`), operation.summary, access(operation), String(successStatus), code(operation.name)]);
  rows.push([code(`${imageContentRoute.method} ${imageContentRoute.path}`), 'Send the bytes of an announced image', '`image.write` on `imageId`', '202', code('templates.image.import')]);
  return page(
    '# REST', generated,
    'Bodies are JSON. A command takes the header `Idempotency-Key`: the same key with the same request has one effect, with another request it is refused (409). Long work answers `202` and `Location: /v1/tasks/{id}`. Where it says so, `?dryRun=true` asks what a command would do: the answer is 200 and a `Plan`, refusals are the same, and nothing is left of the question; elsewhere it is refused. Changes take `If-Match` with the `ETag` of the object. Lists answer `{items, next}`; `next` is the `cursor` of the next page. A refusal is `application/problem+json` with a stable `code` ([errors.md](errors.md)). The machine-readable text is [openapi.json](openapi.json), also at `/v1/openapi.json`.', byName,
    table(['route', 'what it does', 'right', 'answer', 'contract'], rows),
    '## Errors that any request may answer', codesOf(commonErrors),
    ...routes.map(({ method, path, operation }) => page(
      `## ${method} ${path}`, `${operation.summary}.${operation.description === undefined ? '' : ` ${operation.description}`}`,
      membersTable(operation.input, 'input'), `Answers ${replyText(operation.reply)}. Right: ${access(operation)}.${operation.dryRun ? ' Takes `dryRun`.' : ''} Errors: ${codesOf(operation.errors)}.`,
    ).trimEnd()),
    '## Rights', codes([...permissions]),
  );
}

/** Every operation on the service bus, by service. */
export function busReference(): string {
  const of = (service: string): string => table(['subject', 'kind', 'what it does', 'who may', 'time, ms', 'answers', 'errors'],
    allOperations.filter((operation) => operation.service === service).map((operation) => [code(operation.subject), operation.dryRun ? `${operation.kind}, explained` : operation.kind, operation.summary, access(operation), String(operation.timeoutMs), replyText(operation.reply), codesOf(operation.errors)]));
  return page(
    '# The bus', generated,
    'Bodies are plain JSON. Headers: `traceparent`, `Idempotency-Key`, `Tok-Timeout-Ms` (time left, relative), `Tok-Actor`, `Schema`, and `Tok-Dry-Run: true` for a command that its owner explains: the answer is a `Plan`, and nothing is left of the question. Every request gets an answer. The machine-readable text is [asyncapi.json](asyncapi.json) for users and [asyncapi-inside.json](asyncapi-inside.json) for services and hosts. A refusal has the headers `Nats-Service-Error-Code` (HTTP number) and `Nats-Service-Error` (our code), and the body `{code, detail, details, traceId}`.', byName,
    table(['subject', 'meaning'], [
      [code('tok.v1.<service>.<noun>.<verb>'), 'request to a service'],
      [code('tok.v1.host.<hostId>.<noun>.<verb>'), 'command to one host: [host-commands.md](host-commands.md)'],
      [code('tok.v1.rpt.<hostId>.<noun>.<verb>'), 'report of a host: [host-commands.md](host-commands.md)'],
      [code('tok.v1.hb.<hostId>'), 'heartbeat of a host'],
      [code('tok.v1.evt.<service>.<noun>.<past-verb>.<objectId>'), 'event: [events.md](events.md)'],
    ]),
    ...services.map((service) => `## ${service}\n\n${of(service)}`),
    '# Inputs',
    ...allOperations.map((operation) => `## ${operation.name}\n\n${membersTable(operation.input, 'input') || 'No members.'}`),
  );
}

export function eventsReference(): string {
  return page(
    '# Events', generated,
    'An event is published after the transaction that made it true, on `tok.v1.evt.<name>.<objectId>`, stream `EVENTS`. Its body is the envelope `{id, source, seq, name, version, noun, objectId, at, actor, traceId, taskId, data}`; `seq` has no gaps per source, so a reader that misses one asks `<source>.events.read`. The header `Tok-Before` (`<base> <noun>=<seq> …`) tells those who hear some nouns alone the last event of each noun before this one; of a noun that it does not name, none is behind `base`.',
    table(['event', 'what happened', 'version'], allEvents.map(({ name, summary, version }) => [code(name), summary, String(version)])),
    ...allEvents.map(({ name, summary, data }) => `## ${name}\n\n${summary}.\n\n${membersTable(data, 'output')}`),
  );
}

export function hostReference(): string {
  const commands: readonly HostOperation[] = hostCommands;
  const told: readonly Report[] = reports;
  return page(
    '# Host commands and reports', generated,
    'A command goes to `tok.v1.host.<hostId>.<name>`. Commands that change something carry a `commandId`: sent again with the same one they answer the recorded result. Commands to a VM carry its `epoch`; a lower one than seen is refused. "Probe" is how the agent finds out after a crash whether the effect happened.',
    table(['command', 'what it does', 'actor', 'probe', 'time, ms', 'errors'], commands.map(({ name, summary, actor, probe, timeoutMs, errors }) => [code(name), summary, actor, probe, String(timeoutMs), codesOf(errors)])),
    ...commands.map(({ name, summary, input, reply }) => page(`## ${name}`, `${summary}.`, membersTable(input, 'input'), `Answers ${replyText(reply)}.`).trimEnd()),
    '# Reports', 'A report goes to `tok.v1.rpt.<hostId>.<name>` and carries `order`: within one `bootId` a lower (epoch, seq) is old news.',
    ...told.map(({ name, summary, body }) => `## report ${name}\n\n${summary}.\n\n${membersTable(body, 'output')}`),
    '## heartbeat', 'On `tok.v1.hb.<hostId>`, core NATS, every second.', membersTable(Heartbeat, 'output'),
  );
}

const retryText = { no: 'the same request fails again', same: 'the same request may succeed later', changed: 'something must be changed first' } as const;

export function errorsReference(): string {
  const users = (wanted: string): string => {
    const found = allOperations.filter(({ errors }) => errors.some((error) => error.code === wanted)).map(({ name }) => name);
    return found.length === 0 ? '' : `Answered by ${codes(found)}.`;
  };
  const all = [...allErrors.values()].toSorted((a, b) => (a.code < b.code ? -1 : 1));
  return page(
    '# Errors', generated,
    'Every refusal has one of these codes, on the bus and over HTTP. A code keeps its meaning; new ones may come.',
    table(['code', 'HTTP', 'kind', 'meaning', 'again?'], all.map((error) => [code(error.code), String(errorKinds[error.kind]), error.kind, error.title, retryText[error.retry]])),
    ...all.map((error) => page(`## ${error.code}`, `${error.title}. ${retryText[error.retry][0]!.toUpperCase()}${retryText[error.retry].slice(1)}.`, detailsText(membersTable(error.details, 'output')), users(error.code)).trimEnd()),
  );
}

const detailsText = (members: string): string => (members === '' ? '' : `\`details\`:\n\n${members}`);
