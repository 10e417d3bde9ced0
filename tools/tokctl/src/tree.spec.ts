// The command tree: whole, unambiguous, with examples that parse and completion that knows every word.
import { execFileSync, spawnSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { allOperations } from '#contracts';
import { commandTree } from './command-tree.ts';
import { places } from './completion.ts';
import { examples } from './examples.ts';
import { inputOf, checkInput } from './input.ts';
import { columnsOf, isNoun, nounOf, nouns } from './nouns.ts';
import { Desk, silent } from './platform.fixture.ts';
import { programOf } from './program.ts';
import type { Surroundings } from './surroundings.ts';

const commands = commandTree();
let desk: Desk;
beforeAll(() => { desk = new Desk(); });
afterAll(() => { desk.close(); });

const quiet = (): Surroundings => silent(desk.store);

describe('the tree', () => {
  it('has a command for every operation with a route, except those written by hand', () => {
    const without = allOperations.filter(({ http }) => http !== undefined).map(({ name }) => name).filter((name) => !commands.some(({ operation }) => operation.name === name));
    expect(without).toEqual(['auth.audit.verify', 'auth.session.login', 'auth.session.logout', 'auth.session.refresh']);
  });
  it('has no flag twice, and none that help or output need', () => {
    const taken = ['output', 'url', 'profile', 'wait', 'timeout', 'idempotency-key', 'help'];
    const wrong = commands.flatMap(({ words, flags, paged }) => flags.map(({ name }) => name).filter((name, at, all) => all.indexOf(name) !== at || taken.includes(name) || (paged && name === 'limit')).map((name) => `${words.join(' ')} --${name}`));
    expect(wrong).toEqual([]);
  });
  it('has help at every level', async () => {
    for (const words of [[], ['vm'], ['vm', 'create']]) expect(await desk.tokctl([...words, '--help'])).toMatchObject({ status: 0, out: expect.stringContaining('Usage: tokctl') });
    expect((await desk.tokctl(['help', 'vm', 'create'])).out).toContain('--template');
    expect((await desk.tokctl(['help', 'exit-codes'])).out).toContain('not signed in');
  });
  it('ends with 2 for words that it does not know', async () => {
    expect((await desk.tokctl(['vm', 'crate'])).status).toBe(2);
    expect((await desk.tokctl(['help', 'nothing'])).status).toBe(2);
  });
});

describe('nouns', () => {
  it('refer to operations that exist and to nouns that exist', () => {
    const known = new Set(allOperations.map(({ name }) => name));
    expect(Object.values(nouns).flatMap(({ list, get }) => [list, ...(get === undefined ? [] : [get])]).filter((name) => !known.has(name))).toEqual([]);
    expect(Object.values(nouns).flatMap(({ columns }) => columns.flatMap(({ ref }) => ref ?? [])).filter((ref) => !isNoun(ref))).toEqual([]);
  });
  it('have columns for every list', () => {
    expect(commands.filter(({ operation }) => operation.verb === 'list' && columnsOf(operation.name).length === 0).map(({ words }) => words.join(' '))).toEqual([]);
  });
  it('say the noun that they are', () => {
    expect(nounOf('port-group').list).toBe('network.port-group.list');
  });
});

/** The words of a shell line, quotes taken off; what comes before a pipe is not ours. */
const wordsOf = (line: string): string[] => execFileSync('sh', ['-c', `for word in ${line.replace(/^.*\| /, '').replace(/^tokctl /, '')}; do printf '%s\\0' "$word"; done`], { encoding: 'utf8' }).split('\0').slice(0, -1);
const own = Object.entries(examples).flatMap(([words, lines]) => lines.map((line) => [words, line] as const));

describe('examples', () => {
  const ofOperations = own.flatMap(([words, line]) => commands.flatMap((command) => (command.words.join(' ') === words ? [[line, command] as const] : [])));

  it.each(ofOperations)('%s', async (line, command) => {
    const program = programOf(quiet(), '0');
    const leaf = command.words.reduce((parent, word) => parent.commands.find((child) => child.name() === word)!, program);
    let typed: { positionals: string[]; values: Record<string, string | boolean | readonly string[]> } | undefined;
    leaf.exitOverride().action(() => { typed = { positionals: leaf.args, values: Object.fromEntries(command.flags.flatMap(({ name }) => { const value: unknown = leaf.opts()[name.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase())]; return value === undefined ? [] : [[name, value as string]]; })) }; });
    await program.exitOverride().parseAsync(wordsOf(line), { from: 'user' });
    const input = inputOf(command, typed!.positionals, typed!.values);
    await expect(checkInput(command, input)).resolves.toBeUndefined();
    expect(Object.keys(input).length + command.words.length).toBeGreaterThanOrEqual(Math.min(2, wordsOf(line).length));
  });
  it('are there for every command', () => {
    const leaves = places(programOf(quiet(), '0')).filter(({ commands: below }) => below.length === 0).map(({ words }) => words);
    expect(leaves.filter((words) => (examples[words] ?? []).length === 0)).toEqual([]);
  });
  it('belong to commands that exist', () => {
    const known = places(programOf(quiet(), '0')).map(({ words }) => words);
    expect(Object.keys(examples).filter((words) => !known.includes(words))).toEqual([]);
  });
});

describe('completion', () => {
  const complete = (script: string, line: string): string[] => {
    const words = line.split(' ');
    const { stdout } = spawnSync('bash', ['--norc', '-c', `${script}\ntokctl() { printf 'web 1\\nweb-2\\ndb\\n'; }\nCOMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length - 1}; _tokctl; printf '%s\\n' "\${COMPREPLY[@]}"`], { encoding: 'utf8' });
    return stdout.split('\n').filter(Boolean);
  };

  it('knows commands, flags, choices and names', async () => {
    const { out } = await desk.tokctl(['completion', 'bash']);
    expect(complete(out, 'tokctl v')).toEqual(['vm', 'volume']);
    expect(complete(out, 'tokctl vm st')).toEqual(['start', 'stop']);
    expect(complete(out, 'tokctl vm create --tem')).toEqual(['--template']);
    expect(complete(out, 'tokctl vm create --deploy ')).toEqual(['full', 'linked']);
    expect(complete(out, 'tokctl vm stop w')).toEqual(['web\\ 1', 'web-2']);
    expect(complete(out, 'tokctl vm create --template d')).toEqual(['db']);
  });
  it('is there for zsh and fish too, and for no other shell', async () => {
    expect((await desk.tokctl(['completion', 'zsh'])).out).toMatch(/^#compdef tokctl\n/);
    const { out: fish } = await desk.tokctl(['completion', 'fish']);
    expect(fish).toMatch(/^complete -c tokctl -f$/m);
    expect(fish).toContain("complete -c tokctl -n '__tokctl_at vm create' -l template -x -a '(__tokctl_names template)'");
    expect(fish).toContain("complete -c tokctl -n '__tokctl_at vm create' -l deploy -x -a 'full linked'");
    expect(fish).toContain("complete -c tokctl -n '__tokctl_at vm stop' -a '(__tokctl_names vm)'");
    expect((await desk.tokctl(['completion', 'tcsh'])).status).toBe(2);
  });
});
