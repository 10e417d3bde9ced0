// The table of what is done about a difference, row by row, and the rules that no row may break.
import { describe, expect, it } from '@jest/globals';
import { driftStates, type DriftHandling } from '#contracts';
import { isCrowd, stepFor, type Known, type Seen } from './decision.ts';

const known = (over: Partial<Known> = {}): Known => ({ state: 'found', same: true, begun: false, overdue: false, refused: false, comesBack: false, ...over });
const seen = (over: Partial<Seen> = {}): Seen => ({ handling: 'repair', touched: false, twice: true, crowded: false, acts: true, ...over });

describe('what is done about a difference', () => {
  it.each<[string, Known | null, Seen | null, string]>([
    ['seen for the first time', null, seen({ twice: false }), 'suspect'],
    ['seen twice alike', null, seen(), 'open'],
    ['seen twice, while a task works on it', null, seen({ touched: true }), 'wait'],
    ['certain, and safe to put right', known(), seen(), 'repair'],
    ['certain, and unknown data', known(), seen({ handling: 'quarantine' }), 'keep'],
    ['certain, and a person’s business', known(), seen({ handling: 'show' }), 'see'],
    ['certain, where nothing is done by itself', known(), seen({ acts: false }), 'see'],
    ['certain, with many others at once', known(), seen({ crowded: true }), 'hold'],
    ['certain, and back after each repair', known({ comesBack: true }), seen(), 'hold'],
    ['certain, and its repair was refused a moment ago', known({ begun: true, refused: true }), seen(), 'see'],
    ['certain, while a task has come to work on it', known(), seen({ touched: true }), 'wait'],
    ['certain, and another than before', known({ same: false }), seen({ twice: false }), 'suspect'],
    ['certain, half repaired when everything died', known({ begun: true }), seen(), 'repair'],
    ['gone, after a repair that nobody could record', known({ begun: true }), null, 'settle'],
    ['gone by itself', known(), null, 'clear'],
    ['kept apart', known({ state: 'quarantined' }), seen({ handling: 'quarantine' }), 'see'],
    ['kept apart for long enough', known({ state: 'quarantined', overdue: true }), seen({ handling: 'quarantine' }), 'expire'],
    ['kept apart for longer than that', known({ state: 'expired', overdue: true }), seen({ handling: 'quarantine' }), 'see'],
    ['kept apart, and gone', known({ state: 'quarantined' }), null, 'clear'],
    ['dismissed, and as it was', known({ state: 'dismissed' }), seen(), 'see'],
    ['dismissed, and another than then', known({ state: 'dismissed', same: false }), seen(), 'open'],
    ['dismissed, and gone', known({ state: 'dismissed' }), null, 'clear'],
    ['repaired, and back', known({ state: 'repaired' }), seen(), 'open'],
    ['repaired, and not back', known({ state: 'repaired' }), null, 'nothing'],
    ['never there', null, null, 'nothing'],
  ])('%s', (_what, before, now, step) => expect(stepFor(before, now)).toBe(step));
});

describe('whatever is known and seen', () => {
  const flags = [true, false];
  const all = (['repair', 'quarantine', 'show'] as DriftHandling[]).flatMap((handling) => flags.flatMap((touched) => flags.flatMap((twice) => flags.flatMap((crowded) => flags.flatMap((acts) =>
    [null, ...driftStates].flatMap((state) => flags.flatMap((same) => flags.map((begun) => ({
      before: state === null ? null : known({ state, same, begun }), now: seen({ handling, touched, twice, crowded, acts }),
    })))))))));
  const stepsWhere = (rule: (at: (typeof all)[number]) => boolean) => new Set(all.filter(rule).map(({ before, now }) => stepFor(before, now)));

  it('nothing is touched that a task works on', () => expect(stepsWhere(({ now }) => now.touched)).toEqual(new Set(['wait'])));
  it('nothing is touched at its first look', () => {
    const fresh = stepsWhere(({ before, now }) => (before === null || !before.same) && !now.twice && !now.touched);
    expect([...fresh].filter((step) => step === 'repair' || step === 'keep')).toEqual([]);
  });
  it('only what is certain and safe is put right by itself', () => {
    for (const { before, now } of all) if (stepFor(before, now) === 'repair') expect([before?.state, before?.same, now.handling, now.acts, now.crowded]).toEqual(['found', true, 'repair', true, false]);
  });
});

it.each([[10, 0, false], [11, 0, true], [11, 100, false], [21, 100, true]])('%i differences among %i things are a crowd: %s', (differences, population, crowd) => expect(isCrowd(differences, population)).toBe(crowd));
