// Reads a process's settings from environment variables. A wrong environment is reported whole, one line per problem,
// never value by value and never with the value itself, which may be a secret.
import type { z } from 'zod';

/** Exit status of a process whose environment is wrong (`EX_CONFIG` of sysexits.h). */
export const configExitCode = 78;

export type Environment = Readonly<Record<string, string | undefined>>;
/** A schema whose members are named like the environment variables that feed them. */
export type ConfigSchema = z.ZodObject;

/** The environment does not fit. `problems` has one line per variable. */
export class ConfigError extends Error {
  readonly exitCode = configExitCode;
  constructor(readonly problems: readonly string[]) {
    super(`the environment is not acceptable:\n${problems.map((problem) => `  ${problem}`).join('\n')}`);
    this.name = 'ConfigError';
  }
}

/**
 * The settings that `schema` names, checked and converted. A variable set to the empty string counts as absent.
 * Throws ConfigError with every problem at once.
 */
export function readConfig<S extends ConfigSchema>(schema: S, env: Environment = process.env): z.output<S> {
  const names = Object.keys(schema.shape);
  const given = Object.fromEntries(names.filter((name) => (env[name] ?? '') !== '').map((name) => [name, env[name]]));
  const read = schema.safeParse(given);
  if (read.success) return read.data;
  throw new ConfigError(read.error.issues.map((issue) => problemOf(schema, given, issue)));
}

function problemOf(schema: ConfigSchema, given: Readonly<Record<string, unknown>>, issue: z.core.$ZodIssue): string {
  const name = String(issue.path[0] ?? '');
  const field: z.core.$ZodType | undefined = (schema.shape as Readonly<Record<string, z.core.$ZodType>>)[name];
  const meaning = field === undefined ? '' : descriptionOf(field);
  if (name === '') return issue.message;
  return name in given ? `${name}: ${issue.message}${meaning && ` (${meaning})`}` : `${name} is not set${meaning && `: ${meaning}`}`;
}

/** What `.describe` said about a variable; it may stand before `.optional()` or `.default()`. */
export function descriptionOf(field: z.core.$ZodType): string {
  const own = 'description' in field && typeof field.description === 'string' ? field.description : undefined;
  if (own !== undefined) return own;
  const inner = 'innerType' in field._zod.def ? (field._zod.def.innerType as z.core.$ZodType) : undefined;
  return inner === undefined ? '' : descriptionOf(inner);
}

/** Variables with our prefix that no process knows: usually a misspelt name. */
export function unknownVariables(schemas: readonly ConfigSchema[], env: Environment = process.env): string[] {
  const known = new Set(schemas.flatMap((schema) => Object.keys(schema.shape)));
  return Object.keys(env).filter((name) => name.startsWith('TOK_') && !name.startsWith('TOK_TEST_') && !known.has(name)).sort();
}
