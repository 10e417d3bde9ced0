// Consoles on the command line, against a platform that is a real HTTP and WebSocket server.
import { once } from 'node:events';
import { statSync } from 'node:fs';
import { createConnection } from 'node:net';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { WebSocket } from 'ws';
import { consoleProtocol } from '#contracts';
import { failureOf } from './console.client.ts';
import { Desk, FakePlatform, someId } from './platform.fixture.ts';

const ticket = 'T'.repeat(43);
const vmId = someId();
const opened: { path: string; protocols: readonly string[]; authorization: string | undefined }[] = [];
let platform: FakePlatform;
let desk: Desk;
/** What the guest does with an open console. */
let guest: (socket: WebSocket) => void;

beforeAll(async () => { platform = await new FakePlatform().open(); });
afterAll(() => platform.close());
beforeEach(() => {
  desk = new Desk();
  desk.env = { TOK_URL: platform.url, TOK_TOKEN: 'a-token' };
  opened.length = 0;
  platform.seen.length = 0;
  guest = () => undefined;
  platform.console = (socket, { path, protocols, headers }) => {
    opened.push({ path, protocols, authorization: headers.authorization });
    guest(socket);
  };
  platform.answer = ({ method, path, body }) => {
    if (path === '/v1/vms') return { body: { items: [{ id: vmId, name: 'web-1' }], next: null } };
    const { kind } = (body ?? {}) as { kind?: string };
    return method === 'POST' ? { status: 201, body: { ticket, kind, expiresInMs: 30_000, path: `/v1/vms/${vmId}/console?kind=${kind ?? ''}` } } : undefined;
  };
});
afterEach(() => { desk.close(); });

const echo = (socket: WebSocket): void => { socket.on('message', (data) => { socket.send(data as Buffer); }); };

describe('vm console', () => {
  it('shows what the guest writes and sends what comes in, with a ticket as a subprotocol, and leaves when the input has ended', async () => {
    guest = (socket) => {
      socket.send(Buffer.from('login: '));
      echo(socket);
    };
    const { status, shown, said } = await desk.tokctl(['vm', 'console', 'web-1', '--linger', '200ms'], { input: Readable.from([Buffer.from('root\n')]) });
    expect([status, shown, said]).toEqual([0, 'login: root\n', '']);
    expect(opened).toEqual([{ path: `/v1/vms/${vmId}/console?kind=serial`, protocols: [consoleProtocol, `ticket.${ticket}`], authorization: 'Bearer a-token' }]);
    expect(platform.of('POST', `/v1/vms/${vmId}/console-tickets`)).toMatchObject([{ body: { kind: 'serial' } }]);
  });

  it('asks for as much of the past as it is told', async () => {
    await desk.tokctl(['vm', 'console', 'web-1', '--history', '1KiB', '--linger', '0']);
    expect(platform.of('POST', `/v1/vms/${vmId}/console-tickets`)).toMatchObject([{ body: { kind: 'serial', historyBytes: 1024 } }]);
    expect((await desk.tokctl(['vm', 'console', 'web-1', '--history', '2MiB'])).status).toBe(2);
    expect((await desk.tokctl(['vm', 'console', 'web-1', '--linger', '5'])).status).toBe(2);
  });

  it('leaves when a text shows, also one that comes in pieces, and fails when it never does', async () => {
    guest = (socket) => { for (const part of ['boot ... log', 'in', ': ']) socket.send(Buffer.from(part)); };
    expect(await desk.tokctl(['vm', 'console', vmId, '--until', 'login:'])).toMatchObject({ status: 0, shown: 'boot ... login: ' });
    const { status, said } = await desk.tokctl(['vm', 'console', vmId, '--until', 'Password:', '--timeout', '150ms']);
    expect([status, said]).toEqual([6, 'The console did not show "Password:" in time.']);
  });

  it('has left as meant, also when there was more to type', async () => {
    guest = (socket) => { socket.send(Buffer.from('/ # ')); };
    const input = new PassThrough();
    const onShown = (): void => { process.nextTick(() => { input.end('typed too late'); }); };
    expect(await desk.tokctl(['vm', 'console', 'web-1', '--until', '# '], { input, onShown })).toMatchObject({ status: 0, said: '' });
  });

  it('leaves with Ctrl-], having sent what was typed before it', async () => {
    const typed: string[] = [];
    guest = (socket) => { socket.on('message', (data) => { typed.push((data as Buffer).toString()); }); };
    const input = new PassThrough();
    input.write('ls\x1dnot sent');
    const { status, said } = await desk.tokctl(['vm', 'console', 'web-1'], { input, keys: true });
    expect([status, typed.join(''), said.trim()]).toEqual([0, 'ls', 'Connected to web-1. Ctrl-] leaves.']);
  });

  it('ends with the VM, and says what the door says of anything else', async () => {
    const input = (): Readable => new PassThrough();
    guest = (socket) => { socket.close(4410, 'VM_STOPPED: The VM has stopped.'); };
    expect((await desk.tokctl(['vm', 'console', 'web-1'], { input: input() })).status).toBe(0);
    guest = (socket) => { socket.close(4403, 'PERMISSION_DENIED: You lack the right.'); };
    const denied = await desk.tokctl(['vm', 'console', 'web-1'], { input: input() });
    expect([denied.status, denied.said.split('\n')[0]]).toEqual([1, 'PERMISSION_DENIED: You lack the right.']);
    guest = (socket) => { socket.terminate(); };
    const broken = await desk.tokctl(['vm', 'console', 'web-1'], { input: input() });
    expect([broken.status, broken.said]).toEqual([6, 'The console has closed: the connection broke.']);
    platform.console = undefined;
    const refused = await desk.tokctl(['vm', 'console', 'web-1'], { input: input() });
    expect([refused.status, refused.said.split('\n')[0]]).toEqual([3, 'TICKET_INVALID: Ask for another.']);
  });

  it('of a VM that does not run says so before anything is opened', async () => {
    platform.answer = () => ({ status: 409, body: { code: 'WRONG_STATE', detail: 'The VM is stopped.' } });
    const { status, said } = await desk.tokctl(['vm', 'console', vmId]);
    expect([status, said.split('\n')[0], opened]).toEqual([5, 'WRONG_STATE: The VM is stopped.', []]);
  });
});

describe('a close', () => {
  it.each([[1000, '', undefined], [4410, 'VM_STOPPED: x', undefined], [1012, 'SHUTTING_DOWN: x', 6], [4401, 'UNAUTHENTICATED: x', 3], [4409, 'STALE_EPOCH: x', 5], [1006, '', 6], [4999, '', 6]] as const)('%i %s ends with %s', (code, reason, status) => {
    expect(failureOf(code, reason)?.exitCode).toBe(status);
  });
});

describe('vm vnc', () => {
  const heard = async (viewer: Socket, text: string): Promise<void> => {
    let all = '';
    while (!all.includes(text)) all += ((await once(viewer, 'data')) as [Buffer])[0].toString();
  };
  /** Where the command listens, once it says so. */
  async function listening(words: readonly string[]) {
    const told = Promise.withResolvers<string>();
    const ended = desk.tokctl(['vm', 'vnc', 'web-1', ...words], { onOut: told.resolve });
    return { at: await told.promise, ended };
  }

  it('serves every viewer a console of its own, until it is ended', async () => {
    guest = (socket) => {
      socket.send(Buffer.from('RFB 003.008\n'));
      echo(socket);
    };
    const { at, ended } = await listening([]);
    const [host, port] = at.split(':');
    const viewers = [1, 2].map(() => createConnection(Number(port), host));
    for (const viewer of viewers) await heard(viewer, 'RFB 003.008\n');
    viewers[0]!.write('abc');
    await heard(viewers[0]!, 'abc');
    expect(opened.map(({ path }) => path)).toEqual([1, 2].map(() => `/v1/vms/${vmId}/console?kind=vnc`));
    expect(new Set(platform.of('POST', `/v1/vms/${vmId}/console-tickets`).map(({ headers }) => headers['idempotency-key'])).size).toBe(2);
    for (const viewer of viewers) viewer.destroy();
    desk.leave.abort();
    expect((await ended).status).toBe(0);
  });

  it('names the page of the screen, with a ticket that no server is told', async () => {
    const { status, out } = await desk.tokctl(['vm', 'vnc', 'web-1', '--browser']);
    expect([status, out]).toEqual([0, `${platform.url}/console/vnc/${vmId}#ticket=${ticket}`]);
  });

  it('listens at a socket that is its owner’s alone, and ends with its one viewer and what the door says', async () => {
    guest = (socket) => { socket.close(4403, 'PERMISSION_DENIED: You lack the right.'); };
    const { at, ended } = await listening(['--socket', join(desk.dir, 'vnc.sock'), '--once']);
    expect(statSync(at).mode & 0o777).toBe(0o600);
    const viewer = createConnection(at);
    viewer.resume();
    await once(viewer, 'close');
    expect((await ended).said).toContain('PERMISSION_DENIED: You lack the right.');
    expect((await desk.tokctl(['vm', 'vnc', 'web-1', '--socket', 'x', '--port', '5900'])).status).toBe(2);
  });
});
