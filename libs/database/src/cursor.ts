// Page cursors: opaque to clients, checked on return. A cursor names the place behind the last row, so pages neither
// repeat nor skip rows while others are added or removed.
import { InvalidArgument } from '#contracts';
import type { Result } from '#kernel';
import { ok } from '#kernel';

export type SortValue = string | number | Date;

export interface Cursor {
  /** The name of the order it belongs to, with its direction; a cursor of another order is refused. */
  readonly order: string;
  /** A hash of the filters it belongs to; a cursor of others is refused. */
  readonly filter: string;
  readonly value: SortValue;
  readonly id: string;
}

export function writeCursor(cursor: Cursor): string {
  const value = cursor.value instanceof Date ? { at: cursor.value.toISOString() } : cursor.value;
  return Buffer.from(JSON.stringify([cursor.order, cursor.filter, value, cursor.id])).toString('base64url');
}

export function readCursor(text: string, { order, filter }: Pick<Cursor, 'order' | 'filter'>): Result<Cursor> {
  const parts = decode(text);
  if (!Array.isArray(parts) || parts.length !== 4) return refused('it was not made by this service');
  const [of, within, raw, id] = parts as unknown[];
  const value = sortValue(raw);
  if (typeof of !== 'string' || typeof within !== 'string' || typeof id !== 'string' || value === undefined) return refused('it was not made by this service');
  if (of !== order) return refused('it belongs to another order of the list');
  if (within !== filter) return refused('it belongs to other filters of the list');
  return ok({ order: of, filter: within, value, id });
}

function decode(text: string): unknown {
  try {
    return JSON.parse(Buffer.from(text, 'base64url').toString('utf8'));
  } catch {
    // Not ours, for whatever reason: the caller hears that the cursor is refused.
    return undefined;
  }
}

function sortValue(raw: unknown): SortValue | undefined {
  if (typeof raw === 'string' || (typeof raw === 'number' && Number.isFinite(raw))) return raw;
  const at = typeof raw === 'object' && raw !== null ? (raw as { at?: unknown }).at : undefined;
  if (typeof at !== 'string') return undefined;
  const date = new Date(at);
  return Number.isNaN(date.getTime()) ? undefined : date;
}

const refused = (why: string): Result<never> =>
  InvalidArgument.fail(`The cursor cannot be used: ${why}.`, { issues: [{ path: 'cursor', message: why }] });
