// Every command to a host that leaves something behind, and an agent that is killed over it: with its intent in the
// journal, behind its effect, and with its result on record. An agent dies over one command of each row at a time, each of
// them at a point of its own; then the next agent is asked again until there is an answer.
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { allErrors, hostCommands } from '#contracts';
import type { HostOperation } from '#contracts';
import { sleep } from '#kernel';
import { until } from '#testing';
import { hostRows } from './host-rows.fixture.ts';
import { KillWorld } from './kill-world.fixture.ts';
import { shapeOf } from './trial.fixture.ts';
import type { Row, Seen, Trial } from './trial.fixture.ts';
import { vmRows } from './vm-rows.fixture.ts';

jest.setTimeout(240_000);

const rows: readonly Row[] = [...vmRows, ...hostRows];
const nameOf = ({ command, about }: Row): string => [command.name, about].filter(Boolean).join(' ');

const places = [
  { at: 'intent', words: 'with its intent in the journal', pointOf: ({ command }: Row) => `${command.name}:intent` },
  { at: 'effect', words: 'behind its effect', pointOf: ({ behind }: Row) => behind },
  { at: 'done', words: 'with its result on record', pointOf: ({ command }: Row) => `${command.name}:done` },
] as const;
type Place = (typeof places)[number];
/** One command of a row, to be sent to an agent that dies at a place of it; without a place, to one that lives. */
interface Cell { readonly name: string; readonly words: string; readonly row: Row; readonly place: Place | null }

const cellOf = (row: Row, place: Place | null): Cell => ({ name: nameOf(row), words: place?.words ?? '', row, place });
const plain = rows.map((row) => cellOf(row, null));
/** Each agent dies over every row, at another place of it than the agents before. */
const rounds = places.map((_, round) => ({ round, cells: rows.map((row, index) => cellOf(row, places[(index + round) % places.length]!)) }));

/** What was there when the agent was dead, or before its command came, and what journals said. */
interface Before { readonly seen: Seen; readonly journaled: readonly string[] }
/** The answer, and that to the same command sent once more. */
interface Outcome { readonly answer: unknown; readonly seen: Seen; readonly journaled: readonly string[]; readonly again: unknown; readonly seenAgain: Seen; readonly journaledAgain: readonly string[] }

let world: KillWorld;
let trials: ReadonlyMap<Cell, Trial>;
const before = new Map<Cell, Before>();
const outcomes = new Map<Cell, PromiseSettledResult<Outcome>>();

const trialOf = (cell: Cell): Trial => trials.get(cell)!; // every cell has one
const pointsOf = (cells: readonly Cell[]): string => cells.map((cell) => `${cell.place?.pointOf(cell.row) ?? ''}@${trialOf(cell).of}`).join(',');

beforeAll(async () => {
  world = await KillWorld.open();
  trials = new Map([...plain, ...rounds.flatMap(({ cells }) => cells)].map((cell) => [cell, cell.row.begin(world)]));
  await world.lab.start({ TOK_TEST_FAULT_POINT: pointsOf(rounds[0]!.cells) });
  await world.makeSwitch();
});
afterAll(async () => { await world.close(); });

async function noteBefore(cells: readonly Cell[]): Promise<void> {
  await Promise.all(cells.map(async (cell) => { before.set(cell, { seen: await trialOf(cell).look(), journaled: world.journaled(trialOf(cell).commandId) }); }));
}

/** Sends a command again and again until it has its answer, as its task does. */
async function answerOf({ row: { command }, ...cell }: Cell, trial: Trial): Promise<unknown> {
  const { value } = await until(`${cell.name} is answered`, async () => {
    let over = false;
    const asked = world.lab.ask(command, trial.input()).finally(() => { over = true; });
    while (!over) {
      await trial.guest?.();
      await sleep(20);
    }
    const answer = await asked;
    if (!answer.ok && allErrors.get(answer.fault.code)?.retry !== 'same') throw new Error(`${cell.name}: ${answer.fault.code}: ${answer.fault.detail}`);
    return answer.ok ? { value: answer.value } : null;
  }, 90_000);
  return value;
}

async function carryOut(cell: Cell): Promise<Outcome> {
  const trial = trialOf(cell);
  const answer = await answerOf(cell, trial);
  const [seen, journaled] = [await trial.look(), world.journaled(trial.commandId)];
  const again = await answerOf(cell, trial);
  return { answer, seen, journaled, again, seenAgain: await trial.look(), journaledAgain: world.journaled(trial.commandId) };
}

/** All at once: what is busy on a host with one command is not idle with another. */
async function carryOutAll(cells: readonly Cell[]): Promise<void> {
  const settled = await Promise.allSettled(cells.map(carryOut));
  for (const [index, cell] of cells.entries()) outcomes.set(cell, settled[index]!);
}

function outcomeOf(cell: Cell): Outcome {
  const outcome = outcomes.get(cell);
  if (outcome?.status === 'fulfilled') return outcome.value;
  throw outcome?.reason ?? new Error('the command was not sent');
}

/** Sends each its command; the agent ends when all of them are where they shall be. */
async function dieOver(cells: readonly Cell[]): Promise<void> {
  await Promise.all(cells.map((cell) => trialOf(cell).prepare()));
  let ended: { readonly code: number | null } | undefined;
  void world.lab.ended().then((code) => { ended = { code }; });
  for (const cell of cells) void world.lab.ask(cell.row.command, trialOf(cell).input()).catch(() => undefined); // nobody is left to answer it
  const guests = cells.filter(({ place }) => place?.at !== 'intent').map(trialOf);
  try {
    await until('the agent is dead', async () => {
      for (const trial of ended ? [] : guests) await trial.guest?.();
      return ended;
    }, 90_000);
  } catch (error) {
    const never = pointsOf(cells).split(',').filter((point) => !world.lab.log().includes(`at fault point ${point}\n`));
    throw new Error(`never come to: ${never.join(', ')}`, { cause: error });
  }
  expect(ended).toEqual({ code: null }); // by a signal
  await noteBefore(cells);
}

test('every command to a host that lasts is in the table of those that are carried out once though the agent dies', () => {
  const lasting = hostCommands.filter(({ input }: HostOperation) => 'shape' in input && 'commandId' in (input.shape as object)).map(({ name }) => name);
  expect(new Set(rows.map(({ command }) => command.name))).toEqual(new Set(lasting));
  expect(rounds.flatMap(({ cells }) => cells.map(({ name, place }) => `${name} ${place?.at}`)).sort()).toEqual(rows.flatMap((row) => places.map(({ at }) => `${nameOf(row)} ${at}`)).sort());
});

describe('without a death', () => {
  beforeAll(async () => {
    await Promise.all(plain.map((cell) => trialOf(cell).prepare()));
    await noteBefore(plain);
    await carryOutAll(plain);
  });

  test.each(plain)('$name has its effect and its answer', (cell) => {
    const { answer, seen, again } = outcomeOf(cell);
    expect(before.get(cell)?.seen.is).not.toEqual(cell.row.effect);
    expect(seen.is).toEqual(cell.row.effect);
    expect(again).toEqual(answer);
  });

  test('nothing is left over once it is cleared away', () => clearAway(plain));
});

describe.each(rounds)('a command', ({ round, cells }) => {
  beforeAll(async () => {
    await dieOver(cells);
    const next = rounds[round + 1];
    await world.lab.start(next ? { TOK_TEST_FAULT_POINT: pointsOf(next.cells) } : {});
    await carryOutAll(cells);
  });

  test.each(cells)('$name is carried out once though the agent dies $words', (cell) => {
    const { row, place } = cell;
    const death = before.get(cell);
    expect(death?.journaled.at(-1)).toBe(place?.at === 'done' || (place?.at === 'effect' && row.recordedFirst) ? 'result' : 'intent');
    if (place?.at !== 'intent') expect(death?.seen.is).toMatchObject(place?.at === 'effect' && row.sure ? row.sure : row.effect);
    else if (!row.comesWithTheEnd) expect(death?.seen.is).not.toEqual(row.effect);

    const { answer, seen, journaled, again, seenAgain, journaledAgain } = outcomeOf(cell);
    expect(shapeOf(answer)).toEqual({ ...(shapeOf(outcomeOf(plain[rows.indexOf(row)]!).answer) as object), ...(place?.at === 'effect' ? row.found : {}) });
    expect(seen.is).toEqual(row.effect);
    if (place?.at !== 'intent' && !row.sure) expect(seen.own).toEqual(death?.seen.own); // what was there is not made again
    expect(again).toEqual(answer);
    expect(seenAgain).toEqual(seen);
    expect(journaled.at(-1)).toBe('result');
    expect(journaledAgain).toEqual(journaled); // it was not begun again
  });

  test('leaves nothing over, whenever the agent has died, once it is cleared away', () => clearAway(cells));
});

async function clearAway(cells: readonly Cell[]): Promise<void> {
  await Promise.all(cells.map((cell) => trialOf(cell).clean()));
  expect(await world.leftovers()).toEqual({ programs: [], vms: [], files: [], taps: [], ports: [], bridges: [] });
}
