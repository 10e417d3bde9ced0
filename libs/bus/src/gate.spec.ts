// The gate never runs more than it may, keeps the order, refuses the next one, and knows when it is empty.
import { expect, test } from '@jest/globals';
import { Gate } from './gate.ts';

const job = () => {
  let end = (): void => undefined;
  const state = { started: false, end: () => end() };
  const run = (): Promise<void> => {
    state.started = true;
    return new Promise((resolve) => (end = resolve));
  };
  return Object.assign(state, { run });
};
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('two run, one waits, the next is refused; what waited runs as soon as there is room', async () => {
  const gate = new Gate(2, 1);
  const jobs = [job(), job(), job(), job()];
  expect(jobs.map(({ run }) => gate.offer(run))).toEqual([true, true, true, false]);
  expect(jobs.map(({ started }) => started)).toEqual([true, true, false, false]);
  jobs[0]?.end();
  await turn();
  expect([jobs[2]?.started, gate.running, gate.waiting]).toEqual([true, 2, 0]);
});

test('idle is told when the last has ended, also to those who ask when nothing runs', async () => {
  const gate = new Gate(1, 1);
  await gate.idle();
  const [one, two] = [job(), job()];
  gate.offer(one.run);
  gate.offer(two.run);
  let idle = false;
  void gate.idle().then(() => (idle = true));
  one.end();
  await turn();
  expect(idle).toBe(false);
  two.end();
  await turn();
  expect(idle).toBe(true);
});
