// `--dry-run`: offered where the contract says that the server can explain, refused with a reason elsewhere.
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { allOperations, routeOf } from '#contracts';
import { commandTree } from './command-tree.ts';
import { programOf, parserAt } from './program.ts';
import { Desk, FakePlatform, silent, someId } from './platform.fixture.ts';

let platform: FakePlatform;
let desk: Desk;
beforeEach(async () => {
  platform = await new FakePlatform().open();
  desk = new Desk();
  desk.env = { TOK_URL: platform.url, TOK_TOKEN: 'secret' };
});
afterEach(async () => {
  await platform.close();
  desk.close();
});

const vmId = someId();
const plan = {
  operation: 'compute.vm.start', task: 'compute.vm.start', succeeds: true, error: null, checks: ['The VM is stopped.'], decisions: [{ text: 'it starts' }], warnings: ['slow'],
  steps: [{ name: 'place', why: null, outlook: 'foreseen', decisions: [{ text: 'host1 takes it', details: { hostId: 'h' } }] }, { name: 'start-on-host', why: null, outlook: 'planned', decisions: [] }], result: null,
};

it('shows the plan that the server answers', async () => {
  platform.answer = () => ({ body: plan });
  const { status, out } = await desk.tokctl(['vm', 'start', vmId, '--dry-run']);
  expect(status).toBe(0);
  expect(out.split('\n')).toEqual([
    'Nothing was done. This would happen:', 'Checks passed', '  The VM is stopped.', 'Decisions', '  it starts',
    'Steps of the task compute.vm.start', '  1. place: would be done', '     host1 takes it', '  2. start-on-host: follows; what it finds shows only then', 'Warnings', '  slow',
  ]);
  expect(platform.seen.map(({ method, path, query }) => `${method} ${path}?${query.toString()}`)).toEqual([`POST /v1/vms/${vmId}/start?dryRun=true`]);
});

it('shows the plan whole as JSON', async () => {
  platform.answer = () => ({ body: plan });
  expect(JSON.parse((await desk.tokctl(['vm', 'start', vmId, '--dry-run', '-o', 'json'])).out)).toEqual(plan);
});

it('goes beside the other parameters of a deletion', async () => {
  platform.answer = () => ({ body: plan });
  await desk.tokctl(['vm', 'delete', vmId, '--purge', '--dry-run']);
  expect(platform.seen[0]?.query.toString()).toBe('purge=true&dryRun=true');
});

it('ends as the task would: with its error and its exit status', async () => {
  platform.answer = () => ({ body: { ...plan, succeeds: false, error: { code: 'NO_CAPACITY', detail: 'No host can take the VM.', details: { refusals: [{ hostName: 'host1', text: 'is full' }] } } } });
  const { status, out, said } = await desk.tokctl(['vm', 'start', vmId, '--dry-run']);
  expect(status).toBe(1);
  expect(out).toContain('its task would fail');
  expect(said.split('\n')).toEqual(expect.arrayContaining(['NO_CAPACITY: No host can take the VM.', '  host1: is full']));
});

it('is refused beside --wait', async () => {
  expect(await desk.tokctl(['vm', 'start', vmId, '--dry-run', '--wait'])).toMatchObject({ status: 2, said: expect.stringContaining('--dry-run starts no task') });
  expect(platform.seen).toEqual([]);
});

it.each([
  [['vm', 'list', '--dry-run'], 'tokctl vm list only shows something: it needs no --dry-run.'],
  [['datastore', 'create', '--dry-run'], 'tokctl datastore create takes no --dry-run: the server cannot explain it beforehand. Nothing was done.'],
])('%j says why not', async (words, text) => {
  expect(await desk.tokctl(words)).toMatchObject({ status: 2, said: expect.stringContaining(text) });
  expect(platform.seen).toEqual([]);
});

it('is in the help of exactly the commands that the server explains', () => {
  const program = programOf(silent(desk.store), '0');
  const offered = commandTree().filter(({ words }) => parserAt(program, words).helpInformation().includes('--dry-run')).map(({ operation }) => operation.name).sort();
  expect(offered).toEqual(allOperations.filter((operation) => operation.dryRun && routeOf(operation) !== undefined).map(({ name }) => name).sort());
  expect(offered.length).toBeGreaterThan(30);
});
