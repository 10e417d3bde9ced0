// The history of an object out of the log and the tasks view, page by page. A cursor is a place in each of the two.
import type { EventEnvelope, HistoryEntry, Task } from '#contracts';
import { allOf, fromJson, readCursor, selectRows, sql, writeCursor, type Queryable } from '#database';
import { ok, type Result } from '#kernel';
import { objectIn } from '../scope/scope.ts';
import { changesBetween, merged } from './history.ts';

interface Place { readonly beforeSeq: number; readonly beforeAt: string; readonly beforeTask: string }
const newest: Place = { beforeSeq: Number.MAX_SAFE_INTEGER, beforeAt: '9999-12-31T00:00:00.000Z', beforeTask: 'g' };
const order = '-at';

interface LoggedRow { readonly seq: number; readonly event: EventEnvelope }
interface ViewRow { readonly id: string; readonly createdAt: Date; readonly task: Task }
type Entry = HistoryEntry & { readonly causeId: string | null };

export async function pageOfHistory(tx: Queryable, objectId: string, input: { readonly limit: number; readonly cursor?: string | undefined }): Promise<Result<{ items: HistoryEntry[]; next: string | null }>> {
  const place = input.cursor === undefined ? ok(newest) : placeOf(input.cursor, objectId);
  if (!place.ok) return place;
  const [events, tasks] = [await eventsOf(tx, objectId, place.value, input.limit + 1), await tasksOf(tx, objectId, place.value, input.limit + 1)];
  const page = merged(await entriesOfEvents(tx, objectId, events), tasks.map(entryOfTask), input.limit);
  const more = page.first < events.length || page.second < tasks.length;
  const [event, task] = [events[page.first - 1], tasks[page.second - 1]];
  const last: Place = { beforeSeq: event?.seq ?? place.value.beforeSeq, beforeAt: task?.createdAt.toISOString() ?? place.value.beforeAt, beforeTask: task?.id ?? place.value.beforeTask };
  return ok({ items: await withCauses(tx, page.items), next: more ? writeCursor({ order, filter: objectId, value: last.beforeSeq, id: `${last.beforeAt} ${last.beforeTask}` }) : null });
}

function placeOf(text: string, objectId: string): Result<Place> {
  const cursor = readCursor(text, { order, filter: objectId });
  if (!cursor.ok) return cursor;
  const [beforeAt = '', beforeTask = ''] = cursor.value.id.split(' ');
  return ok({ beforeSeq: Number(cursor.value.value), beforeAt, beforeTask });
}

async function eventsOf(tx: Queryable, objectId: string, { beforeSeq }: Pick<Place, 'beforeSeq'>, limit: number, source?: string): Promise<LoggedRow[]> {
  const where = allOf([sql`object_id = ${objectId} AND global_seq < ${beforeSeq}`, source === undefined ? null : sql`source = ${source}`]);
  const rows = await selectRows<{ global_seq: number | string; event: unknown }>(tx,
    sql`SELECT global_seq, event FROM event_log WHERE ${where} ORDER BY global_seq DESC LIMIT ${limit}`);
  return rows.map((row) => ({ seq: Number(row.global_seq), event: fromJson<EventEnvelope>(row.event) }));
}

async function tasksOf(tx: Queryable, objectId: string, { beforeAt, beforeTask }: Place, limit: number): Promise<ViewRow[]> {
  const at = new Date(beforeAt);
  const rows = await selectRows<{ id: string; created_at: Date; task: unknown }>(tx,
    'SELECT id, created_at, task FROM task_view WHERE object_id = ? AND (created_at < ? OR (created_at = ? AND id < ?)) ORDER BY created_at DESC, id DESC LIMIT ?', [objectId, at, at, beforeTask, limit]);
  return rows.map((row) => ({ id: row.id, createdAt: row.created_at, task: fromJson<Task>(row.task) }));
}

/** Each event beside the one before it of the same source: what others tell of the object shows another part of it. */
async function entriesOfEvents(tx: Queryable, objectId: string, rows: readonly LoggedRow[]): Promise<Entry[]> {
  const before = new Map<string, LoggedRow | undefined>();
  for (const source of new Set(rows.map(({ event }) => event.source))) {
    const oldest = rows.findLast(({ event }) => event.source === source);
    if (oldest !== undefined) before.set(source, (await eventsOf(tx, objectId, { beforeSeq: oldest.seq }, 1, source))[0]);
  }
  return rows.map((row, index) => entryOfEvent(row, rows.slice(index + 1).find(({ event }) => event.source === row.event.source) ?? before.get(row.event.source)));
}

const entryOfEvent = ({ seq, event }: LoggedRow, before: LoggedRow | undefined): Entry => ({
  at: event.at, what: 'event', name: event.name, actor: event.actor, taskId: null, cause: null, causeId: event.taskId, changes: before === undefined ? [] : changesBetween(objectIn(before.event), objectIn(event)),
  state: null, endedAt: null, error: null, traceId: event.traceId, globalSeq: seq,
});

const entryOfTask = ({ task }: ViewRow): Entry => ({
  at: task.createdAt, what: 'task', name: task.kind, actor: task.actor, taskId: task.id, cause: null, causeId: task.parentTaskId, changes: [],
  state: task.state, endedAt: task.endedAt, error: task.error, traceId: task.traceId, globalSeq: null,
});

async function withCauses(tx: Queryable, entries: readonly Entry[]): Promise<HistoryEntry[]> {
  const ids = [...new Set(entries.flatMap(({ causeId }) => causeId ?? []))];
  const rows = ids.length === 0 ? [] : await selectRows<{ id: string; kind: string }>(tx, sql`SELECT id, kind FROM task_view WHERE id IN (${ids})`);
  const kinds = new Map(rows.map(({ id, kind }) => [id, kind]));
  return entries.map(({ causeId, ...entry }) => ({ ...entry, cause: causeId === null ? null : { taskId: causeId as NonNullable<HistoryEntry['taskId']>, kind: kinds.get(causeId) ?? null } }));
}
