// Reads from a `task.changed` message whether a child has ended, without parsing the many messages that say nothing.
import { endStates } from '#contracts';

const utf8 = new TextDecoder();

/** The parent's id, or null when the message is about anything else. */
export function childEnded(data: Uint8Array): string | null {
  const text = utf8.decode(data);
  if (!text.includes('"parentTaskId":"')) return null;
  const task = taskOf(text);
  if (task === null || !endStates.some((state) => state === task['state'])) return null;
  const parent = task['parentTaskId'];
  return typeof parent === 'string' ? parent : null;
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
