// Keeps secrets out of the logs: by the name of a member, and by the look of a text (tokens, seeds, passwords in URLs).

const secretWords = 'password|passwd|passphrase|secret|token|authorization|cookie|credentials?|creds|seed|private[-_]?key|api[-_]?key|tok-actor';
const secretName = new RegExp(`(${secretWords})$`, 'i');
export const redacted = '[redacted]';
const depthLimit = 8;

/** A copy of `value` that may be written: members with a secret's name are blanked, errors become plain objects. Never throws. */
export function redact(value: unknown, depth = 0): unknown {
  if (value === null || typeof value !== 'object') return typeof value === 'bigint' ? value.toString() : value;
  if (depth > depthLimit) return '[too deep]';
  if (value instanceof Error) return redactError(value, depth);
  if (value instanceof Date) return value;
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  if (Array.isArray(value)) return value.map((item) => redact(item, depth + 1));
  if (value instanceof Map || value instanceof Set) return redact([...value], depth + 1);
  return redactMembers(value, depth);
}

/** The members of `object` as a new object, secrets blanked. */
export function redactMembers(object: object, depth = 0): Record<string, unknown> {
  return Object.fromEntries(Object.entries(object).map(([name, member]) => [name, isSecret(name, member) ? redacted : redact(member, depth + 1)]));
}

/** Counts and switches may be named like secrets (`acceptToken: true`) and give nothing away. */
const isSecret = (name: string, member: unknown): boolean =>
  secretName.test(name) && member !== null && member !== undefined && typeof member !== 'number' && typeof member !== 'boolean';

function redactError(error: Error, depth: number): Record<string, unknown> {
  const { name, message, stack, cause } = error;
  const own = Object.fromEntries(Object.entries(error).filter(([member]) => !['name', 'message', 'stack', 'cause'].includes(member)));
  return { type: name, message, stack, ...redactMembers(own, depth), ...(cause === undefined ? {} : { cause: redact(cause, depth + 1) }) };
}

const secretTexts: readonly (readonly [RegExp, string])[] = [
  [new RegExp(`("[^"\\\\]*(?:${secretWords})":)"(?:[^"\\\\]|\\\\.)*"`, 'gi'), `$1"${redacted}"`], // a member with a secret's name
  [/(\b[a-z][a-z0-9+.-]*:\/\/[^\s:/@"\\]*):[^\s/@"\\]+@/gi, `$1:${redacted}@`], // scheme://user:password@
  [/\beyJ[\w-]{4,}\.[\w-]+\.[\w-]*/g, redacted], // JWT
  [/\bS[AUNOCX][A-Z2-7]{56}\b/g, redacted], // NATS seed
  [/\b(Bearer|Basic) +[\w+/=.~-]{8,}/gi, `$1 ${redacted}`],
];

/** A finished line with everything blanked that looks like a secret, wherever it stands in a text. */
export const redactText = (line: string): string => secretTexts.reduce((text, [pattern, by]) => text.replace(pattern, by), line);
