// From typed words to requests: flags, names, keys, waiting, and the exit status of everything that goes wrong.
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fromSeed } from '@nats-io/jwt';
import { Desk, FakePlatform, someId, taskBody } from './platform.fixture.ts';
import type { Reply, Seen } from './platform.fixture.ts';

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

const [vmId, templateId, groupId, storeId, taskId] = [someId(), someId(), someId(), someId(), someId()];
const page = (...items: unknown[]): Reply => ({ body: { items, next: null } });
const named = (id: string, name: string) => ({ query }: Seen): Reply => (query.get('name') === name ? page({ id, name }) : page());

/** Answers by `METHOD path`. */
const routes = (table: Readonly<Record<string, Reply | ((seen: Seen) => Reply)>>): void => {
  platform.answer = (seen) => {
    const found = table[`${seen.method} ${seen.path}`];
    return typeof found === 'function' ? found(seen) : found;
  };
};

const pool = {
  'GET /v1/templates': named(templateId, 'tiny'), 'GET /v1/port-groups': named(groupId, 'vlan100'), 'GET /v1/datastores': named(storeId, 'fast'), 'GET /v1/vms': named(vmId, 'web-1'),
  'POST /v1/vms': { status: 202, body: { taskId, objectId: vmId } } as Reply,
};

describe('vm create', () => {
  it('sends what was typed, names as ids, sizes as bytes, and nothing that was not typed', async () => {
    routes(pool);
    const { status, out } = await desk.tokctl('vm create --name web-1 --template tiny --nic port-group=vlan100,ip=10.0.0.7 --disk size=10GiB,datastore=fast --memory 2GiB --cpu.cores 2 --label a=1 --label b=x=y --no-start --ha.priority high'.split(' '));
    expect(status).toBe(0);
    expect(out).toBe(`vm create: accepted as task ${taskId} for vm ${vmId}`);
    const [sent] = platform.of('POST', '/v1/vms');
    expect(sent?.body).toEqual({
      name: 'web-1', templateId, nics: [{ portGroupId: groupId, ip: '10.0.0.7' }], disks: [{ sizeBytes: 10 * 2 ** 30, datastoreId: storeId }],
      memoryBytes: 2 * 2 ** 30, cpu: { sockets: 1, cores: 2, threads: 1 }, labels: { a: '1', b: 'x=y' }, start: false, ha: { priority: 'high' },
    });
    expect(sent?.headers.authorization).toBe('Bearer secret');
    expect(sent?.headers['idempotency-key']).toMatch(/^[0-9a-f-]{36}$/);
  });

  it('takes ids as they are, without asking for names', async () => {
    routes(pool);
    expect((await desk.tokctl(['vm', 'create', '--name', 'web-1', '--template', templateId])).status).toBe(0);
    expect(platform.seen.map(({ method }) => method)).toEqual(['POST']);
  });

  it.each([
    [['--memory', '1GiB'], '--name is missing'],
    [['--name', 'a', '--memory', 'much'], '--memory takes a size'],
    [['--name', '../etc'], '--name: letters, digits'],
    [['--name', 'a', '--deploy', 'half'], '--deploy takes one of full, linked.'],
    [['--name', 'a', '--nic', 'wire=x'], '--nic knows no wire; it takes port-group, ip, mac.'],
    [['--name', 'a', '--nic', 'ip=1.2.3.4'], '--nic is missing'],
    [['--name', 'a', '--cpu.cores', '1.5'], '--cpu.cores takes a whole number'],
    [['--name', 'a', '--disk', 'size=1'], '--disk: at least 1 MiB'],
    [['--name', 'a', '--frobnicate'], "unknown option '--frobnicate'"],
    [['--name', 'a', '--frobnicate'], 'What there is: tokctl vm create --help'],
    [['--name', 'a', 'extra'], 'too many arguments'],
    [['--name', 'a', '-o', 'xml'], '-o takes one of'],
  ])('%j is refused before anything is sent', async (words, text) => {
    routes(pool);
    const { status, said } = await desk.tokctl(['vm', 'create', ...words]);
    expect(status).toBe(2);
    expect(said).toContain(text);
    expect(platform.seen).toEqual([]);
  });

  it('starts a VM that is to be woken, by either word, and says where commands are found that it does not know', async () => {
    routes({ ...pool, [`POST /v1/vms/${vmId}/start`]: { status: 202, body: { taskId, objectId: vmId } } });
    for (const word of ['start', 'wake']) expect((await desk.tokctl(['vm', word, vmId])).status).toBe(0);
    expect(platform.of('POST', `/v1/vms/${vmId}/start`)).toHaveLength(2);
    expect(await desk.tokctl(['vm', 'hatch', vmId])).toMatchObject({ status: 2, said: expect.stringMatching(/unknown command 'hatch'[^]*What there is: tokctl vm --help/) });
  });

  it('is sent once more, with the same key, when the connection breaks', async () => {
    let drops = 1;
    routes({ ...pool, 'POST /v1/vms': () => (drops-- > 0 ? 'drop' : { status: 202, body: { taskId, objectId: vmId } }) });
    expect((await desk.tokctl(['vm', 'create', '--name', 'a', '--template', 'tiny'])).status).toBe(0);
    const keys = platform.of('POST', '/v1/vms').map(({ headers }) => headers['idempotency-key']);
    expect(keys).toHaveLength(2);
    expect(keys[0]).toBe(keys[1]);
  });

  it('gives up when it breaks again', async () => {
    routes({ ...pool, 'POST /v1/vms': 'drop' });
    expect((await desk.tokctl(['vm', 'create', '--name', 'a', '--template', 'tiny'])).status).toBe(6);
    expect(platform.of('POST', '/v1/vms')).toHaveLength(2);
  });

  it('carries the key that it was given', async () => {
    routes(pool);
    await desk.tokctl(['vm', 'create', '--name', 'a', '--template', 'tiny', '--idempotency-key', 'mine-1']);
    expect(platform.of('POST', '/v1/vms')[0]?.headers['idempotency-key']).toBe('mine-1');
  });
});

describe('names', () => {
  it('of nothing end with 4', async () => {
    routes(pool);
    const { status, said } = await desk.tokctl(['vm', 'stop', 'web-9']);
    expect(status).toBe(4);
    expect(said).toContain('<vm>: there is no vm "web-9"');
  });
  it('of two objects are refused with their ids', async () => {
    routes({ 'GET /v1/vms': page({ id: vmId, name: 'twin' }, { id: taskId, name: 'twin' }) });
    const { status, said } = await desk.tokctl(['vm', 'stop', 'twin']);
    expect(status).toBe(2);
    expect(said).toContain(vmId);
    expect(said).toContain(taskId);
  });
  it('are compared whole where the list has no filter for them', async () => {
    const tokenId = someId();
    const pages: Readonly<Record<string, unknown>> = { '': { items: [{ id: someId(), name: 'back' }], next: 'two' }, two: { items: [{ id: tokenId, name: 'backup' }], next: null } };
    routes({ 'GET /v1/tokens': ({ query }) => ({ body: pages[query.get('cursor') ?? ''] }), [`DELETE /v1/tokens/${tokenId}`]: {} });
    const { status, out } = await desk.tokctl(['token', 'delete', 'backup']);
    expect({ status, out }).toEqual({ status: 0, out: 'token delete: done' });
  });
  it('that nothing can have are not asked for', async () => {
    expect((await desk.tokctl(['vm', 'stop', 'a/../b'])).status).toBe(4);
    expect(platform.seen).toEqual([]);
  });
});

describe('--wait', () => {
  const get = `GET /v1/tasks/${taskId}`;
  const ended = (state: string, more = {}) => ({ body: taskBody(taskId, state, 3, more) });

  it('follows the task by long poll and shows the object', async () => {
    const states = [{ status: 404, body: { code: 'NOT_FOUND', detail: 'not yet' } }, { body: taskBody(taskId, 'running', 2) }, ended('succeeded')];
    routes({ [`POST /v1/vms/${vmId}/start`]: { status: 202, body: { taskId, objectId: vmId } }, [get]: () => states.shift() ?? 'drop', [`GET /v1/vms/${vmId}`]: { body: { id: vmId, name: 'web-1' } } });
    expect(await desk.tokctl(['vm', 'start', vmId, '--wait', '-o', 'name'])).toMatchObject({ status: 0, out: 'web-1' });
    expect(platform.of('GET', `/v1/tasks/${taskId}`).map(({ query }) => query.get('afterVersion'))).toEqual([null, null, '2']);
  });

  it('ends with 1 and the reason when the task fails', async () => {
    routes({ ...pool, [get]: ended('failed', { error: { code: 'NO_CAPACITY', detail: 'No host can take it.' } }) });
    const { status, said } = await desk.tokctl(['vm', 'create', '--name', 'a', '--template', 'tiny', '--wait']);
    expect(status).toBe(1);
    expect(said).toContain('NO_CAPACITY: No host can take it.');
  });

  it('ends with 6 when the time is over, and the task goes on', async () => {
    routes({ ...pool, [get]: { body: taskBody(taskId, 'running', 1) } });
    const { status, said } = await desk.tokctl(['vm', 'create', '--name', 'a', '--template', 'tiny', '--wait', '--timeout', '50ms']);
    expect(status).toBe(6);
    expect(said).toContain(`tokctl task watch ${taskId}`);
  });
});

describe('lists', () => {
  it('turn the pages', async () => {
    routes({ 'GET /v1/vms': ({ query }) => (query.get('cursor') === null ? { body: { items: [{ name: 'a' }], next: 'n' } } : page({ name: 'b' })) });
    expect((await desk.tokctl(['vm', 'list', '-o', 'name'])).out).toBe('a\nb');
  });
  it('say when there is more than was asked for', async () => {
    routes({ 'GET /v1/vms': { body: { items: [{ name: 'a' }], next: 'n' } } });
    const { out, said } = await desk.tokctl(['vm', 'list', '-o', 'name', '--limit', '1']);
    expect({ out, said }).toEqual({ out: 'a', said: 'Only the first 1 are shown: --limit N shows more.' });
  });
  it('show a history as a table, what changed in words, and as many as a screen takes', async () => {
    const change = { field: 'status.state', from: 'creating', to: 'running' };
    const entry = { at: '2026-11-22T10:00:00.000Z', what: 'event', name: 'compute.vm.changed', actor: { userId: someId(), handle: 'ada' }, changes: [change, { field: 'spec.disks', from: null, to: [{}] }], state: null, cause: { taskId, kind: 'compute.vm.create' }, error: null };
    routes({ 'GET /v1/vms': page({ id: vmId, name: 'web-1' }), [`GET /v1/vms/${vmId}/history`]: { body: { items: Array.from({ length: 50 }, () => entry), next: 'n' } } });
    const { out, said } = await desk.tokctl(['vm', 'history', 'web-1']);
    expect(out.split('\n')[1]).toMatch(/^2026-11-22T10:00:00.000Z {2}compute.vm.changed +ada +status.state creating→running, spec.disks –→… +compute.vm.create/);
    expect(said).toBe('Only the first 50 are shown: --limit N shows more.');
  });
  it('pass their filters on, with names looked up', async () => {
    const hostId = someId();
    routes({ 'GET /v1/hosts': page({ id: hostId, name: 'host-1' }), 'GET /v1/vms': page() });
    expect((await desk.tokctl(['vm', 'list', '--host', 'host-1', '--state', 'running', '-o', 'json'])).out).toBe('[]');
    expect(Object.fromEntries(platform.of('GET', '/v1/vms')[0]!.query)).toEqual({ hostId, state: 'running', limit: '500' });
  });
});

describe('refusals of the platform', () => {
  it('name the flag of the field that is wrong', async () => {
    routes({ ...pool, 'POST /v1/vms': { status: 400, body: { code: 'INVALID_ARGUMENT', detail: 'wrong', details: { issues: [{ path: 'memoryBytes', message: 'more than a host has' }] }, traceId: 't' } } });
    const { status, said } = await desk.tokctl(['vm', 'create', '--name', 'a', '--template', 'tiny']);
    expect(status).toBe(2);
    expect(said.split('\n')).toEqual(expect.arrayContaining(['INVALID_ARGUMENT: wrong', '  --memory: more than a host has', 'trace t']));
  });
  it('that come from a proxy still end with a status', async () => {
    routes({ 'GET /v1/vms': { status: 502, body: 'bad gateway' } });
    expect((await desk.tokctl(['vm', 'list'])).status).toBe(6);
  });
});

describe('bus login', () => {
  const credential = { id: someId(), expiresAt: new Date(Date.now() + 3_600_000).toISOString() };
  const granted = { credential, jwt: `head.${Buffer.from(JSON.stringify({ sub: 'x', nats: { issuer_account: 'A' } })).toString('base64url')}.sign`, servers: ['nats://127.0.0.1:4222'], subjectPrefix: 'tok.v1.user.ann', inboxPrefix: '_INBOX.user.ann' };
  const keysSent = (): unknown[] => platform.of('POST', '/v1/bus-credentials').map(({ body }) => (body as { publicKey: string }).publicKey);

  it('makes a key, sends its public half and writes a credentials file that nobody else can read', async () => {
    const file = join(desk.dir, 'deep', 'ann.creds');
    routes({ 'POST /v1/bus-credentials': { status: 201, body: granted } });
    const { status, out, said: err } = await desk.tokctl(['bus', 'login', '--file', file, '--name', 'laptop', '--life', '8h']);
    expect({ status, out }).toEqual({ status: 0, out: file });
    expect(err).toContain(`--creds ${file} --inbox-prefix _INBOX.user.ann req tok.v1.user.ann.req.compute.vm.list`);
    expect(platform.of('POST', '/v1/bus-credentials')[0]?.body).toEqual({ publicKey: expect.stringMatching(/^U[A-Z2-7]{55}$/), name: 'laptop', lifeMinutes: 480 });
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const text = readFileSync(file, 'utf8');
    expect(text).toContain(granted.jwt);
    expect(fromSeed(new TextEncoder().encode(/^SU[A-Z2-7]{56}$/m.exec(text)?.[0])).getPublicKey()).toBe(keysSent()[0]);
    expect(JSON.stringify(platform.seen)).not.toContain(/^SU[A-Z2-7]{56}$/m.exec(text)?.[0]);
  });

  it('renews with the key that is there, and with a new one where that was revoked', async () => {
    const file = join(desk.dir, 'ann.creds');
    routes({ 'POST /v1/bus-credentials': { status: 201, body: granted } });
    await desk.tokctl(['bus', 'login', '--file', file]);
    await desk.tokctl(['bus', 'login', '--file', file]);
    const [first, second] = keysSent();
    expect(second).toBe(first);
    routes({ 'POST /v1/bus-credentials': ({ body }) => ((body as { publicKey: string }).publicKey === first ? { status: 409, body: { code: 'WRONG_STATE', detail: 'This key was revoked; make a new one.' } } : { status: 201, body: granted }) });
    expect((await desk.tokctl(['bus', 'login', '--file', file])).status).toBe(0);
    expect(keysSent().at(-1)).not.toBe(first);
  });

  it.each([[['--life', '2d'], '--life takes'], [['--life', '1m'], '--life takes'], [['--life', 'long'], '--life takes']])('%j is refused before anything is sent', async (words, text) => {
    const { status, said: err } = await desk.tokctl(['bus', 'login', ...words]);
    expect(status).toBe(2);
    expect(err).toContain(text);
    expect(platform.seen).toEqual([]);
  });

  it('leaves a file alone that is something else', async () => {
    const file = join(desk.dir, 'notes');
    writeFileSync(file, 'dear diary');
    expect((await desk.tokctl(['bus', 'login', '--file', file])).status).toBe(2);
    expect(readFileSync(file, 'utf8')).toBe('dear diary');
  });
});

describe('image upload', () => {
  it('announces the image, sends the bytes and follows the import', async () => {
    const imageId = someId();
    const file = join(desk.dir, 'f.qcow2');
    writeFileSync(file, 'x'.repeat(100_000));
    routes({
      'GET /v1/images': page(), 'POST /v1/images': { status: 201, body: { id: imageId, name: 'tiny' } }, [`PUT /v1/images/${imageId}/content`]: { status: 202, body: { taskId, objectId: imageId } },
      [`GET /v1/tasks/${taskId}`]: { body: taskBody(taskId, 'succeeded', 1) }, [`GET /v1/images/${imageId}`]: { body: { id: imageId, name: 'tiny', state: 'ready' } },
    });
    expect(await desk.tokctl(['image', 'upload', '--name', 'tiny', '--file', file, '--wait', '-o', 'name'])).toMatchObject({ status: 0, out: 'tiny' });
    const [announced, sent] = [platform.of('POST', '/v1/images')[0], platform.of('PUT', `/v1/images/${imageId}/content`)[0]];
    expect(sent?.text).toHaveLength(100_000);
    expect(sent?.headers['idempotency-key']).not.toBe(announced?.headers['idempotency-key']);
  });
  it('goes on with the image that an upload left behind', async () => {
    const imageId = someId();
    const file = join(desk.dir, 'f.qcow2');
    writeFileSync(file, 'x');
    routes({ 'GET /v1/images': page({ id: imageId, name: 'tiny', state: 'awaiting-upload' }), [`PUT /v1/images/${imageId}/content`]: { status: 202, body: { taskId, objectId: imageId } } });
    expect((await desk.tokctl(['image', 'upload', '--name', 'tiny', '--file', file])).status).toBe(0);
    expect(platform.of('POST', '/v1/images')).toEqual([]);
  });
  it('refuses a file that is not there', async () => {
    expect((await desk.tokctl(['image', 'upload', '--name', 'tiny', '--file', join(desk.dir, 'none')])).status).toBe(2);
  });
});

describe('secrets', () => {
  it('are refused on the command line', async () => {
    const { status, said } = await desk.tokctl(['user', 'create', '--handle', 'ann', '--password', 'hunter2-hunter2']);
    expect(status).toBe(2);
    expect(said).not.toContain('hunter2');
  });
  it('come from a file or from standard input', async () => {
    const file = join(desk.dir, 'password');
    writeFileSync(file, 'from-a-file-1\n');
    routes({ 'POST /v1/users': { status: 201, body: { id: someId(), handle: 'ann' } } });
    await desk.tokctl(['user', 'create', '--handle', 'ann', '--password', `@${file}`]);
    await desk.tokctl(['user', 'create', '--handle', 'ann', '--password', '-'], { lines: ['from-stdin-1'] });
    expect(platform.of('POST', '/v1/users').map(({ body }) => (body as { password: string }).password)).toEqual(['from-a-file-1', 'from-stdin-1']);
  });
});

describe('api', () => {
  it('sends any request and shows its answer', async () => {
    routes({ 'POST /v1/clusters': { status: 201, body: { id: vmId } } });
    expect(await desk.tokctl(['api', 'post', '/v1/clusters', '{"name":"lab"}'])).toMatchObject({ status: 0, out: JSON.stringify({ id: vmId }, null, 2) });
    expect(platform.seen[0]?.body).toEqual({ name: 'lab' });
  });
  it('ends with the status of the refusal', async () => {
    expect((await desk.tokctl(['api', 'GET', '/v1/nothing'])).status).toBe(4);
  });
});

describe('task watch without an id', () => {
  const watch = (...tasks: unknown[]) => {
    routes({ 'GET /v1/tasks': ({ query }) => (query.get('open') === 'true' ? page(...tasks) : page()), [`GET /v1/tasks/${taskId}`]: { body: taskBody(taskId, 'succeeded', 3) } });
    return desk.tokctl(['task', 'watch']);
  };

  it('follows the only task that is under way', async () => {
    const { status, said } = await watch(taskBody(taskId, 'running', 2));
    expect(status).toBe(0);
    expect(said).toContain('succeeded');
  });
  it('lists them when there are several, and says so when there is none', async () => {
    const other = someId();
    const several = await watch(taskBody(taskId, 'running', 2), taskBody(other, 'queued', 1));
    expect(several.status).toBe(2);
    for (const id of [taskId, other]) expect(several.said).toContain(`tokctl task watch ${id}`);
    expect((await watch()).status).toBe(4);
  });
});

describe('a task that fails', () => {
  it('says what to do about its error', async () => {
    const error = { code: 'DATASTORE_FULL', kind: 'insufficient_capacity', detail: 'There is too little space.' };
    routes({ [`GET /v1/tasks/${taskId}`]: { body: taskBody(taskId, 'failed', 4, { error }) } });
    const { status, said } = await desk.tokctl(['task', 'watch', taskId]);
    expect(status).toBe(1);
    expect(said).toContain('take another datastore: tokctl datastore list');
  });
});
