// Reads from a `task.changed` message what it tells about a child, without parsing the many messages that are about none.
import { endStates, Task } from '#contracts';

const utf8 = new TextDecoder();

export interface ChildTold {
  readonly parentTaskId: string;
  readonly ended: boolean;
  /** Null where it is not of a form that this release knows: that it has ended is known all the same. */
  readonly task: Task | null;
}

/** Null when the message is about anything else. */
export function childTold(data: Uint8Array): ChildTold | null {
  const text = utf8.decode(data);
  if (!text.includes('"parentTaskId":"')) return null;
  const told = taskOf(text);
  const parentTaskId = told?.['parentTaskId'];
  if (told === null || typeof parentTaskId !== 'string') return null;
  const read = Task.safeParse(told);
  return { parentTaskId, ended: endStates.some((state) => state === told['state']), task: read.success ? read.data : null };
}

function taskOf(text: string): Readonly<Record<string, unknown>> | null {
  try {
    const event = JSON.parse(text) as { data?: { task?: Record<string, unknown> } } | null;
    return event?.data?.task ?? null;
  } catch {
    // Not an event: whoever wrote it is not our concern.
    return null;
  }
}
