// The configuration reference as text, made from the schemas, so that it cannot differ from what the processes read.
import { z } from 'zod';
import { descriptionOf } from './read.ts';
import { processConfigs } from './schemas.ts';

export interface Setting {
  readonly name: string;
  readonly meaning: string;
  readonly required: boolean;
  /** The default as text of an environment variable; absent where there is none. */
  readonly default?: string;
  readonly processes: readonly string[];
}

/** Every variable once, in order of first use. */
export function settings(): Setting[] {
  const names = new Set(processConfigs.flatMap(({ schema }) => Object.keys(schema.shape)));
  return [...names].map((name) => {
    const users = processConfigs.filter(({ schema }) => name in schema.shape);
    const field: z.ZodType = (users[0]!.schema.shape as Readonly<Record<string, z.ZodType>>)[name]!;
    const unset = field.safeParse(undefined);
    return {
      name,
      meaning: descriptionOf(field),
      required: !unset.success,
      ...(unset.success && unset.data !== undefined ? { default: textOf(unset.data) } : {}),
      processes: users.map(({ process }) => process),
    };
  });
}

function textOf(value: unknown): string {
  const range = z.strictObject({ first: z.number(), last: z.number() }).safeParse(value);
  if (range.success) return `${range.data.first}-${range.data.last}`;
  const limits = z.record(z.string(), z.number()).safeParse(value);
  if (limits.success) return Object.entries(limits.data).map(([name, most]) => `${name}=${most}`).join(',');
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** Markdown: one table of all settings. */
export function configReference(): string {
  const rows = settings().map((setting) => {
    const who = setting.processes.length === processConfigs.length ? 'all' : setting.processes.join(', ');
    const preset = setting.required ? 'required' : setting.default === undefined ? '–' : `\`${setting.default}\``;
    return `| \`${setting.name}\` | ${setting.meaning} | ${preset} | ${who} |`;
  });
  return ['# Configuration', '', 'Settings are environment variables. A process whose environment is wrong says everything that is wrong and ends with status 78.', '', '| variable | meaning | default | processes |', '|---|---|---|---|', ...rows, ''].join('\n');
}
