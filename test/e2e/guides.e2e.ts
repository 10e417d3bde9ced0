// Every guide holds: its commands are pasted as they stand, some pages at a time, since most of what they do is waiting; and they leave nothing behind.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { deleteVm } from '#contracts';
import { guidesOf, pastedBy } from './guide-blocks.ts';
import { guideBlocks, paste } from './guide.ts';
import type { Had } from './guide.ts';
import { holdings } from './holdings.ts';
import type { Holdings } from './holdings.ts';
import { natsForPython } from './nats-for-python.ts';
import { openShell, signInShell } from './shell.ts';
import type { Shell } from './shell.ts';
import { ownVms } from './vms.ts';
import { openWorld } from './world.ts';
import type { World } from './world.ts';

/** What a page must have shown, beside having gone through. */
const shown: Readonly<Record<string, readonly RegExp[]>> = {
  'audit.md': [/sound/, /auth\.session\.login/],
  'bus.md': [/succeeded running/, /kept by COMMANDS/],
};
/** The longest first, so that the lanes end about the same time. */
const longest = ['first-hour.md', 'power.md', 'hardware.md', 'bus.md'];
const turnOf = (guide: string): number => (longest.includes(guide) ? longest.indexOf(guide) : longest.length);
const WITHIN_MS = 300_000;
const AT_ONCE = 3;

const world: World = await openWorld('guides');
const python = await natsForPython();
const had: Had = python === undefined ? {} : { 'nats-py': python };
const guides = guidesOf(world.lab.repo).filter((guide) => !(guide in pastedBy) && guideBlocks(world, guide).some(({ isRun }) => isRun));
const lacking = guides.flatMap((guide) => guideBlocks(world, guide).filter(({ needs }) => needs !== undefined && !(needs in had)).map((block) => ({ guide, ...block })));

/** Begins each in its turn, so many at once; answers the end of each. */
function inLanes<T>(names: readonly string[], atOnce: number, work: (name: string) => Promise<T>): Map<string, Promise<T>> {
  const ends = new Map(names.map((name) => [name, Promise.withResolvers<T>()]));
  const left = [...ends];
  const lane = async (): Promise<void> => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) await work(next[0]).then(next[1].resolve, next[1].reject);
  };
  for (let at = 0; at < atOnce; at++) void lane();
  for (const { promise } of ends.values()) promise.catch(() => undefined); // told where it is waited for
  return new Map([...ends].map(([name, { promise }]) => [name, promise]));
}

let before: Holdings;
let ended: Map<string, Promise<string>>;
const shells: Shell[] = [];
beforeAll(async () => {
  before = await holdings(world);
  const turns = [...guides].sort((a, b) => turnOf(a) - turnOf(b));
  ended = inLanes(turns, AT_ONCE, async (guide) => {
    const shell = await openShell(world);
    shells.push(shell);
    if (guide !== 'first-hour.md') await signInShell(shell, world); // where one signs in
    return paste(world, shell, guide, { withinMs: WITHIN_MS, had });
  });
});
afterAll(async () => {
  await Promise.allSettled(ended.values());
  for (const shell of shells) await shell.close();
});

describe('a guide can be pasted as it stands:', () => {
  it.each(guides)('%s', async (guide) => {
    const said = await ended.get(guide);
    for (const text of shown[guide] ?? []) expect(said).toMatch(text);
  }, 2 * WITHIN_MS); // also of the pages before it
  for (const { guide, line, heading, needs } of lacking) it.skip(`${guide} line ${line}: ${heading} (needs ${needs!}, which is not here)`, () => undefined);

  it('and nothing is left behind', async () => {
    for (const { id } of await ownVms({ ...world, prefix: 'demo' })) await world.rest.carryOut(deleteVm, { vmId: id, force: true, purge: true }); // `tools/lab up` makes it, to be kept
    expect(await holdings(world)).toEqual(before);
  });
});
