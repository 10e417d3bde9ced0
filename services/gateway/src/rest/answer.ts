// What a success looks like: status, Location, ETag. Decided by the contract and the reply, never by a handler.
import type { DoorRoute } from './routes.ts';

export interface Success {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
}

const none = {};

export function successOf({ route, objectPath }: DoorRoute, reply: unknown): Success {
  const members = (typeof reply === 'object' && reply !== null ? reply : none) as { taskId?: unknown; id?: unknown; version?: unknown };
  const { taskId, id, version } = members;
  if (route.successStatus === 202) return { status: 202, headers: { location: `/v1/tasks/${String(taskId)}` } };
  const location = objectPath !== undefined && typeof id === 'string' ? { location: `${objectPath}/${id}` } : none;
  const etag = typeof version === 'number' ? { etag: `"${version}"` } : none;
  return { status: route.successStatus, headers: { ...location, ...etag } };
}
