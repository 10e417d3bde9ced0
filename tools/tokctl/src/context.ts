// What every command starts with: its options, the platform it speaks to, and how it writes what it got.
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { exit } from './exit-codes.ts';
import { Failure, usageFailure } from './failures.ts';
import { sender } from './http.client.ts';
import { replaceDeep } from './input.ts';
import type { Input } from './input.ts';
import { isNoun } from './nouns.ts';
import type { Column, NounName } from './nouns.ts';
import { formatOf, itemText, listText } from './output.ts';
import type { Item, Look } from './output.ts';
import { Platform } from './platform.client.ts';
import { parseDuration, durationForm } from './quantities.ts';
import { bearerOf, targetOf } from './session.client.ts';
import type { Surroundings } from './surroundings.ts';
import { NamedReference } from './values.ts';
import type { SecretSource } from './values.ts';

export interface Options {
  readonly output?: string;
  readonly url?: string;
  readonly profile?: string;
  readonly idempotencyKey?: string;
  readonly wait?: boolean;
  readonly timeout?: string;
  readonly dryRun?: boolean;
}

export interface Context {
  readonly around: Surroundings;
  readonly options: Options;
  readonly platform: Platform;
}

const keyForm = /^[\x21-\x7e]{1,128}$/;

/** Fails when there is no platform to speak to; whether the user is signed in shows with the first request. */
export function contextOf(around: Surroundings, options: Options): Context {
  formatOf(options.output ?? 'table');
  const key = options.idempotencyKey ?? randomUUID();
  if (!keyForm.test(key)) throw usageFailure('--idempotency-key takes 1 to 128 printable ASCII characters.');
  const target = targetOf(around.store, around.env, options);
  const send = sender(target.url);
  return { around, options, platform: new Platform(send, bearerOf(around.store, around.env, target, send, around.nowMs), key) };
}

/** The input with names turned into ids and secrets read. */
export async function settled({ platform, around }: Context, input: Input): Promise<Input> {
  const known = new Map<string, string>();
  return (await replaceDeep(input, async (leaf) => {
    if (!(leaf instanceof NamedReference)) return secretOf(leaf, around);
    const key = `${leaf.noun} ${leaf.name}`;
    const id = known.get(key) ?? (await platform.idOf(leaf));
    known.set(key, id);
    return id;
  })) as Input;
}

async function secretOf({ file }: SecretSource, around: Surroundings): Promise<string> {
  if (file === '-') {
    const line = await around.readLine();
    if (line === undefined) throw usageFailure('Standard input ended before the secret.');
    return line;
  }
  try {
    return readFileSync(file, 'utf8').replace(/\r?\n$/, '');
  } catch (error) {
    throw usageFailure(`${file} cannot be read: ${(error as Error).message}`);
  }
}

/** Longest wait of this command, ms. */
export function timeoutOf({ timeout = '1h' }: Options): number {
  const ms = parseDuration(timeout);
  if (ms === undefined || ms <= 0) throw usageFailure(`--timeout takes ${durationForm}.`);
  return ms;
}

/** Looks up the names that the columns refer to, so that a table shows names instead of ids. */
async function lookOf({ around, options, platform }: Context, columns: readonly Column[], noun: string, items: readonly Item[]): Promise<Look> {
  const format = formatOf(options.output ?? 'table');
  const refs = format === 'table' && items.length > 0 ? [...new Set(columns.flatMap(({ ref }) => ref ?? []))] : [];
  const names = new Map<NounName, ReadonlyMap<string, string>>(await Promise.all(refs.map(async (ref) => [ref, await platform.namesOf(ref)] as const)));
  return { format, columns, noun: isNoun(noun) ? noun : undefined, names, width: around.width, nowMs: around.nowMs() };
}

export async function showList(context: Context, items: readonly Item[], columns: readonly Column[], noun: string): Promise<void> {
  context.around.out(listText(items, await lookOf(context, columns, noun, items)));
}

/** `whole` shows every member, else the row that it would be in a list. */
export async function showItem(context: Context, item: Item, columns: readonly Column[], noun: string, whole: boolean): Promise<void> {
  context.around.out(itemText(item, await lookOf(context, whole ? [] : columns, noun, [item]), whole));
}

export const notSignedIn = (...lines: readonly string[]): Failure => new Failure(exit.notSignedIn, ...lines);
