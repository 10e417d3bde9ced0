// What follows the pool and what shows anything of it, against a platform that the test plays.
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Desk, FakePlatform, someId } from './platform.fixture.ts';

let platform: FakePlatform;
let desk: Desk;
beforeEach(async () => {
  platform = await new FakePlatform().open();
  desk = new Desk();
  desk.env = { TOK_URL: platform.url, TOK_TOKEN: 'secret' };
});
afterEach(async () => {
  desk.close();
  await platform.close();
});

const objectId = someId();
const event = (globalSeq: number) => ({
  id: someId(), source: 'compute', seq: globalSeq, name: 'compute.vm.changed', version: 1, noun: 'vm', objectId, at: '2026-01-01T00:00:00.000Z', actor: null, traceId: null, taskId: null,
  data: { vm: { name: 'web', status: { state: 'running' } } }, globalSeq,
});
const block = (globalSeq: number): string => `id: ${globalSeq}\nevent: compute.vm.changed\ndata: ${JSON.stringify(event(globalSeq))}\n\n`;

describe('events', () => {
  it('are shown, the newest at the end', async () => {
    platform.answer = () => ({ body: { items: [event(9), event(8)], lastSeq: 9, firstSeq: 1 } });
    const { status, out } = await desk.tokctl(['events']);
    expect(status).toBe(0);
    expect(out.split('\n').map((line) => /(\d) {2}compute.vm.changed +web running$/.exec(line)?.[1])).toEqual(['8', '9']);
  });

  it('are followed over a break, behind the last one that came', async () => {
    let streams = 0;
    platform.answer = ({ headers }) => {
      if (headers.accept !== 'text/event-stream') return { body: { items: [], lastSeq: 4, firstSeq: 1 } };
      streams += 1;
      if (streams === 1) return { stream: `retry: 1000\n\n${block(5)}: alive\n\n${block(6)}` };
      desk.leave.abort();
      return { stream: block(7) };
    };
    const { out } = await desk.tokctl(['events', '-f', '-o', 'json']);
    expect(out.split('\n').slice(0, 2).map((line) => (JSON.parse(line) as { globalSeq: number }).globalSeq)).toEqual([5, 6]);
    const asked = platform.seen.filter(({ headers }) => headers.accept === 'text/event-stream');
    expect(asked.map(({ headers, query }) => [headers['last-event-id'], query.get('after')])).toEqual([[undefined, '4'], ['6', '4']]);
  });

  it('that one may not see end the command with the reason', async () => {
    platform.answer = ({ headers }) => (headers.accept === 'text/event-stream' ? { status: 403, body: { code: 'PERMISSION_DENIED', detail: 'You lack the right event.read.' } } : { body: { items: [], lastSeq: 0, firstSeq: 1 } });
    const { status, said } = await desk.tokctl(['events', '-f']);
    expect(status).toBe(1);
    expect(said).toContain('event.read');
  });
});

describe('get', () => {
  const vm = { id: someId(), name: 'web' };
  const lists: Record<string, object[]> = { '/v1/vms': [vm], '/v1/clusters': [], '/v1/templates': [{ id: someId(), name: 'web' }] };
  beforeEach(() => {
    platform.answer = ({ path }) => {
      if (path === `/v1/vms/${vm.id}`) return { body: vm };
      return /^\/v1\/[a-z-]+$/.test(path) ? { body: { items: lists[path] ?? [], next: null } } : { status: 404, body: { code: 'NOT_FOUND', detail: 'There is no such object.' } };
    };
  });

  it('finds a thing by its id and by noun and name', async () => {
    expect(JSON.parse((await desk.tokctl(['get', vm.id, '-o', 'json'])).out)).toEqual(vm);
    expect(JSON.parse((await desk.tokctl(['get', 'vm/web', '-o', 'json'])).out)).toEqual(vm);
  });
  it('says who else is called so, and that there is nothing', async () => {
    const twice = await desk.tokctl(['get', 'web']);
    expect(twice.status).toBe(2);
    expect(twice.said).toContain(`tokctl get vm/${vm.id}`);
    expect(await desk.tokctl(['get', 'nothing'])).toMatchObject({ status: 4 });
    expect(await desk.tokctl(['get', 'nonsense/web'])).toMatchObject({ status: 2 });
  });
});
