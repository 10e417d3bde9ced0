// What pages say in the middle of a sentence, `tokctl vm list --open`, is a command with these flags. Whole blocks are run by the e2e tests.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { places } from './completion.ts';
import type { Place } from './completion.ts';
import { Desk, silent } from './platform.fixture.ts';
import { programOf } from './program.ts';

const root = join(import.meta.dirname, '../../..');
const pages = ['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', ...['docs/guides', 'docs/adr'].flatMap((dir) => readdirSync(join(root, dir)).filter((name) => name.endsWith('.md')).map((name) => `${dir}/${name}`))];

let desk: Desk;
let known: readonly Place[];
beforeAll(() => {
  desk = new Desk();
  known = places(programOf(silent(desk.store), '0'));
});
afterAll(() => { desk.close(); });

/** Code within a line that names a command of ours, up to a pipe. */
const spoken = (markdown: string): string[] => [...markdown.replace(/^\s*```[\s\S]*?^\s*```$/gm, '').matchAll(/`([^`\n]*)`/g)].map(([, code]) => code!).filter((code) => /^tokctl [a-z]/.test(code)).map((code) => code.replace(/ [|>].*$/, ''));

/** What is wrong with it, or undefined. Values and placeholders are not looked at. */
function wrongIn(text: string): string | undefined {
  const words = text.split(/\s+/).slice(1);
  let place = known.find((one) => one.words === '')!;
  for (const word of words) {
    const next = known.find((one) => one.words === `${place.words} ${word}`.trim());
    if (next === undefined) break;
    place = next;
  }
  if (place.words === '') return `there is no command ${words[0] ?? ''}`;
  const after = words.slice(place.words.split(' ').length);
  if (place.commands.length > 0 && after[0] !== undefined && !/^[-<…(]/.test(after[0])) return `there is no ${place.words} ${after[0]}`;
  const strange = after.filter((word) => word.startsWith('--')).map((word) => word.split('=')[0]!).filter((flag) => !place.flags.includes(flag));
  return strange.length === 0 ? undefined : `${place.words} has no ${strange.join(', ')}`;
}

describe('commands in sentences', () => {
  it('are looked for where they are', () => {
    expect(spoken('a `tokctl vm list --open | head` and\n```sh\n`tokctl no`\n```\n`vm`')).toEqual(['tokctl vm list --open']);
    expect([wrongIn('tokctl vm list --state running'), wrongIn('tokctl vm crate'), wrongIn('tokctl vm list --colour red'), wrongIn('tokctl nothing')]).toEqual([undefined, 'there is no vm crate', 'vm list has no --colour', 'there is no command nothing']);
  });
  it.each(pages)('of %s exist, with their flags', (page) => {
    expect(spoken(readFileSync(join(root, page), 'utf8')).flatMap((text) => wrongIn(text) ?? [])).toEqual([]);
  });
});
