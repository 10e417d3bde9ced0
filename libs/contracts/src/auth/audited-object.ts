// Which object a request was about, as the audit log names it: read off the contract, the input and, where there is one, the
// reply, so that no handler has to say it.
import type { Operation } from '../define.ts';

export interface AuditedObject { readonly noun: string; readonly id: string | null }

type About = Pick<Operation, 'noun' | 'verb' | 'on' | 'http'>;

const longest = 128;
const member = (value: unknown, name: string): unknown => (typeof value === 'object' && value !== null && Object.hasOwn(value, name) ? (value as Record<string, unknown>)[name] : undefined);
const idIn = (value: unknown, name: string): string | undefined => {
  const found = member(value, name);
  return typeof found === 'string' && found !== '' ? found.slice(0, longest) : undefined;
};
const kebab = (name: string): string => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
const camel = (name: string): string => name.replace(/-(.)/g, (_all, letter: string) => letter.toUpperCase());

/** The parts of a reply that may carry the id of what was made: itself, or the one object in it. */
const made = (reply: unknown): string | undefined =>
  idIn(reply, 'id') ?? (typeof reply === 'object' && reply !== null ? Object.values(reply).map((part) => idIn(part, 'id')).find((id) => id !== undefined) : undefined);

export function auditedObject(operation: About, input: unknown, reply?: unknown): AuditedObject {
  const { noun, verb, on, http } = operation;
  const ofTask = idIn(reply, 'objectId');
  if (ofTask !== undefined) return { noun, id: ofTask };
  const ofNew = verb === 'create' ? made(reply) : undefined;
  if (ofNew !== undefined) return { noun, id: ofNew };
  const ofRight = on === undefined ? undefined : idIn(input, on);
  if (on !== undefined && ofRight !== undefined) return { noun: kebab(on.replace(/Id$/, '')), id: ofRight };
  const param = /:(\w+)[^:]*$/.exec(http ?? '')?.[1];
  return { noun, id: (param === undefined ? undefined : idIn(input, param)) ?? idIn(input, `${camel(noun)}Id`) ?? idIn(reply, 'id') ?? null };
}
