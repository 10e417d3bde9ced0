// get: shows anything by its id or its name. `noun/name` says which; a bare one is looked for among all nouns.
import { showItem } from './context.ts';
import type { Context } from './context.ts';
import { exit } from './exit-codes.ts';
import { Failure, Refused, usageFailure } from './failures.ts';
import { isNoun, nounNames, nounOf } from './nouns.ts';
import type { NounName } from './nouns.ts';
import { operationNamed } from './platform.client.ts';
import { isId } from './values.ts';

interface Found { readonly noun: NounName; readonly item: Readonly<Record<string, unknown>> }

export async function getAnything(context: Context, word: string): Promise<void> {
  const [before, after] = word.split('/', 2) as [string, string?];
  if (after !== undefined && !isNoun(before)) throw usageFailure(`There is no noun "${before}"; there are ${nounNames.join(', ')}.`);
  const among = after === undefined ? nounNames.filter((noun) => noun !== 'site') : [before as NounName];
  const found = await find(context, among, after ?? before);
  if (found.length > 1) throw new Failure(exit.usage, `${found.length} things are called "${word}"; say which:`, ...found.map(({ noun, item }) => `  tokctl get ${noun}/${String(item['id'])}`));
  const [only] = found;
  if (!only) throw new Failure(exit.notFound, `There is nothing "${word}" that you may see.`, 'Names are matched whole; tokctl <noun> list shows them.');
  await showItem(context, only.item, [], only.noun, true);
}

async function find(context: Context, nouns: readonly NounName[], word: string): Promise<Found[]> {
  const answers = await Promise.all(nouns.map((noun) => (isId(word) ? byId(context, noun, word.toLowerCase()) : byName(context, noun, word))));
  return answers.flat();
}

async function byId({ platform }: Context, noun: NounName, id: string): Promise<Found[]> {
  const { get } = nounOf(noun);
  if (get === undefined) return (await allOf({ platform }, noun, {})).filter(({ item }) => item['id'] === id);
  const operation = operationNamed(get);
  if (operation.on === undefined) return [];
  return orNothing(async () => [{ noun, item: await platform.call(operation, { [operation.on!]: id }) }]);
}

async function byName(context: Context, noun: NounName, name: string): Promise<Found[]> {
  const { label, list } = nounOf(noun);
  if (label === null) return [];
  const filtered = operationNamed(list).input.safeParse({ [label]: name }).success ? { [label]: name } : {};
  return (await allOf(context, noun, filtered)).filter(({ item }) => item[label] === name);
}

const allOf = ({ platform }: Pick<Context, 'platform'>, noun: NounName, input: Readonly<Record<string, string>>): Promise<Found[]> =>
  orNothing(async () => (await platform.list(operationNamed(nounOf(noun).list), input)).items.map((item) => ({ noun, item })));

/** What one may not see is not there. */
async function orNothing(look: () => Promise<Found[]>): Promise<Found[]> {
  try {
    return await look();
  } catch (error) {
    if (error instanceof Refused && (error.status === 404 || error.status === 403)) return [];
    throw error;
  }
}
