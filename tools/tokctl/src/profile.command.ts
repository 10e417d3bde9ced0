// profile list, use, show, delete: which platform the next command speaks to.
import { exit } from './exit-codes.ts';
import { Failure } from './failures.ts';
import type { Options } from './context.ts';
import { formatOf, itemText, listText } from './output.ts';
import type { Item, Look } from './output.ts';
import { targetOf } from './session.client.ts';
import type { Surroundings } from './surroundings.ts';

const look = (around: Surroundings, { output = 'table' }: Options): Look => ({
  format: formatOf(output), noun: undefined, names: new Map(), width: around.width, nowMs: around.nowMs(),
  columns: [{ title: 'PROFILE', path: 'name' }, { title: 'CURRENT', path: 'current', as: 'yes' }, { title: 'USER', path: 'user' }, { title: 'URL', path: 'url', flexible: true }, { title: 'SIGNED-IN', path: 'signedIn', as: 'yes' }],
});

function profiles(around: Surroundings): Item[] {
  const { current, profiles: all } = around.store.settings();
  return Object.entries(all).map(([name, { url, user }]) => ({ name, current: name === current, user, url, signedIn: (around.store.tokens(name)?.refreshUntil ?? 0) > around.nowMs() }));
}

export function listProfiles(around: Surroundings, options: Options): void {
  around.out(listText(profiles(around), look(around, options)));
}

/** What the next command would use, whatever it comes from. */
export function showProfile(around: Surroundings, options: Options): void {
  const { url, profile } = targetOf(around.store, around.env, options);
  const known = profiles(around).find(({ name }) => name === profile);
  const token = around.env['TOK_TOKEN'] ? 'the environment (TOK_TOKEN)' : known ? `profile ${String(known['name'])}` : 'nowhere: sign in first';
  around.out(itemText({ ...known, name: profile ?? null, url, tokenFrom: token, directory: around.store.dir }, { ...look(around, options), columns: [] }, true));
}

const known = (around: Surroundings, name: string): string => {
  if (!(name in around.store.settings().profiles)) throw new Failure(exit.notFound, `There is no profile ${name}.`, 'See tokctl profile list.');
  return name;
};

export async function switchProfile(around: Surroundings, name: string): Promise<void> {
  known(around, name);
  await around.store.change((settings) => { settings.current = name; });
  around.say(`Profile ${name} is the current one.`);
}

export async function deleteProfile(around: Surroundings, name: string): Promise<void> {
  known(around, name);
  around.store.forgetTokens(name);
  await around.store.change((settings) => {
    settings.profiles = Object.fromEntries(Object.entries(settings.profiles).filter(([other]) => other !== name));
    if (settings.current === name) settings.current = null;
  });
  around.say(`Profile ${name} is deleted. Its session on the platform ends by itself; tokctl logout ends it at once.`);
}
