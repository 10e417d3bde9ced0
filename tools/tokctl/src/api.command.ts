// api: any request of the REST interface, signed in, its answer as it is. For what has no command, and for learning.
import { readFileSync } from 'node:fs';
import { methods } from '#contracts';
import type { Context } from './context.ts';
import { usageFailure } from './failures.ts';

/** `tokctl api GET /v1/vms`, `tokctl api POST /v1/vms '{"name":"a"}'`, body also as `@file` or `-`. */
export async function callApi({ platform, around }: Context, words: readonly string[]): Promise<void> {
  const [first = '', ...others] = words;
  const [method, path = '', body] = first.startsWith('/') ? ['GET', first, ...others] : [first.toUpperCase(), ...others];
  if (!methods.some((known) => known === method)) throw usageFailure(`"${first}" is no method; one of ${methods.join(', ')}.`);
  if (!path.startsWith('/')) throw usageFailure('Which path? tokctl api GET /v1/vms');
  const text = body === undefined ? undefined : await bodyOf(body, around);
  const { text: answer } = await platform.ask({ method, path, ...(text === undefined ? {} : { body: text }) });
  around.out(prettied(answer));
}

async function bodyOf(body: string, { readLine }: Context['around']): Promise<string> {
  if (body.startsWith('@')) {
    try {
      return readFileSync(body.slice(1), 'utf8');
    } catch (error) {
      throw usageFailure(`${body.slice(1)} cannot be read: ${(error as Error).message}`);
    }
  }
  if (body !== '-') return body;
  const lines: string[] = [];
  for (let line = await readLine(); line !== undefined; line = await readLine()) lines.push(line);
  return lines.join('\n');
}

function prettied(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    // Not every path answers JSON; what it says is shown as it is.
    return text;
  }
}
