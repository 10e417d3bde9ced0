// Whose an object is and where it is filed, read from the event that tells of it. Pure.
import type { EventEnvelope } from '#contracts';

export interface Scope {
  readonly noun: string;
  readonly ownerId: string | null;
  readonly folderId: string | null;
  readonly clusterId: string | null;
}
type Members = Readonly<Record<string, unknown>>;

const camel = (noun: string): string => noun.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
const isObject = (value: unknown): value is Members => typeof value === 'object' && value !== null && !Array.isArray(value);
const idOf = (value: unknown): string | null => (typeof value === 'string' ? value : null);

/** The object as the event shows it; undefined where it only says that it is gone, or is about something else. */
export function objectIn({ noun, objectId, data }: Pick<EventEnvelope, 'noun' | 'objectId' | 'data'>): Members | undefined {
  const object = data[camel(noun)];
  return isObject(object) && object['id'] === objectId ? object : undefined;
}

/** The last that is heard of an object. */
export const isEnd = ({ name, data }: Pick<EventEnvelope, 'name' | 'data'>): boolean => name.endsWith('.deleted') || data['gone'] === true;

/** Objects that are themselves the scope that a grant can have. */
const ownScope: Readonly<Record<string, (id: string) => Partial<Scope>>> = { cluster: (id) => ({ clusterId: id }), folder: (id) => ({ folderId: id }) };

export function scopeIn(event: Pick<EventEnvelope, 'noun' | 'objectId' | 'data'>): Scope | undefined {
  const object = objectIn(event);
  if (object === undefined) return undefined;
  return { noun: event.noun, ownerId: idOf(object['ownerId']), folderId: idOf(object['folderId']), clusterId: idOf(object['clusterId']), ...ownScope[event.noun]?.(event.objectId) };
}

const memberOf = (value: unknown, name: string): string | null => (isObject(value) ? idOf(value[name]) : null);
/** Nouns whose events are about another object in truth: the one that a task works on, the VM that a port belongs to. */
const subjects: Readonly<Record<string, (data: Members) => string | null>> = {
  task: ({ task }) => memberOf(isObject(task) ? task['object'] : undefined, 'id'),
  port: ({ port }) => memberOf(port, 'vmId'),
};

/** The object that decides who may see the event. */
export const subjectOf = ({ noun, objectId, data }: Pick<EventEnvelope, 'noun' | 'objectId' | 'data'>): string => subjects[noun]?.(data) ?? objectId;
