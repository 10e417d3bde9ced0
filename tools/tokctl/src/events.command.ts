// events: what has happened in the pool, the newest at the end; with --follow what happens from then on, for ever.
import { listEvents, LoggedEvent } from '#contracts';
import type { Context, Options } from './context.ts';
import { followEvents } from './event-stream.client.ts';
import { formatOf } from './output.ts';
import { operationNamed } from './platform.client.ts';
import { bearerOf, targetOf } from './session.client.ts';
import { isId } from './values.ts';
import { usageFailure } from './failures.ts';

export interface EventsOptions extends Options {
  readonly follow?: boolean;
  readonly after?: string;
  readonly name?: string;
  readonly object?: string;
}

const shown = 20;

export async function showEvents({ around, platform }: Context, options: EventsOptions): Promise<void> {
  const { object, name, after } = options;
  if (object !== undefined && !isId(object)) throw usageFailure('--object takes the id of an object (tokctl vm get web -o id).');
  if (after !== undefined && !/^\d{1,9}$/.test(after)) throw usageFailure('--after takes the number of an event.');
  const filters = { ...(name === undefined ? {} : { name }), ...(object === undefined ? {} : { objectId: object.toLowerCase() }) };
  const line = lineOf(options);
  const show = (event: unknown): void => { around.out(line(event)); };
  const read = await platform.call(operationNamed(listEvents.name), after === undefined ? { ...filters, latest: true, limit: shown } : { ...filters, after: Number(after), limit: 500 });
  const { items, lastSeq } = listEvents.reply.parse(read);
  for (const event of after === undefined ? items.toReversed() : items) show(event);
  if (options.follow !== true) return;
  const target = targetOf(around.store, around.env, options);
  const begin = after === undefined ? lastSeq : items.at(-1)?.globalSeq ?? Number(after);
  await followEvents({
    url: target.url, bearer: bearerOf(around.store, around.env, target), query: { ...filters, after: String(begin) },
    onEvent: show, onNote: around.say, ...(around.signal === undefined ? {} : { signal: around.signal }),
  });
}

/** One line per event, for eyes or, as JSON, for programs. */
function lineOf({ output = 'table' }: Options): (event: unknown) => string {
  const format = formatOf(output);
  if (format === 'json') return (event) => JSON.stringify(event);
  if (format !== 'table') throw usageFailure('events are shown as table or json.');
  return (event) => {
    const { at, globalSeq, name, objectId, actor, data } = LoggedEvent.parse(event);
    return [at.slice(0, 19).replace('T', ' '), String(globalSeq).padStart(7), name.padEnd(28), titleOf(data) ?? objectId, actor === null ? '' : `by ${actor.handle}`].join('  ').trimEnd();
  };
}

/** Name and state of what the event is about, as far as it says so. */
function titleOf(data: Readonly<Record<string, unknown>>): string | undefined {
  const [object] = Object.values(data).filter((value): value is Record<string, unknown> => typeof value === 'object' && value !== null);
  if (object === undefined) return undefined;
  const { name, kind, state, status, object: subject } = object as { name?: string; kind?: string; state?: string; status?: { state?: string }; object?: { name?: string | null } };
  const title = [kind, name ?? subject?.name, state ?? status?.state].filter((word) => typeof word === 'string');
  return title.length === 0 ? undefined : title.join(' ');
}
