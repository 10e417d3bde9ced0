// Consoles through the real door and a real NATS server: compute and the host's agent are played, the client is a real
// WebSocket.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import { WebSocket } from 'ws';
import { openPipe } from '#bus';
import type { Pipe } from '#bus';
import { consoleProtocol, consoleSubject, eventSubject, ticketProtocol, vmChanged } from '#contracts';
import type { Fault, Result } from '#kernel';
import { newUuid, ok } from '#kernel';
import { until } from '#testing';
import { GatewayUnderTest, holders, people } from '../gateway.fixture.ts';
import { doorLimits } from '../rest/open.door.ts';

const hostId = newUuid();
const limits = { ...doorLimits.console, mostPerUser: 3, mostAtOnce: 6, messageBytes: 64 * 1024, pingMs: 50, checkMs: 3_600_000, slowMs: 3_600_000, idleMs: 3_600_000, partingMs: 300 };
let gateway: GatewayUnderTest;
let vmId: string;
let verdict: Result<unknown>;
let opening: (asked: Readonly<Record<string, unknown>>) => Result<unknown> | undefined;
const agents: Agent[] = [];
const clients: Client[] = [];

/** The host's end of a session. */
class Agent {
  heard = Buffer.alloc(0);
  over: string | undefined;
  readonly pipe: Pipe;

  constructor(sessionId: string, taking?: Promise<void>) {
    this.pipe = openPipe(gateway.nats, { from: consoleSubject(hostId, sessionId, 'in'), to: consoleSubject(hostId, sessionId, 'out') }, {
      listensFirst: true,
      onBytes: async (bytes) => {
        await taking;
        this.heard = Buffer.concat([this.heard, bytes]);
      },
      onEnd: (reason) => { this.over = reason; },
    });
  }
}

class Client {
  heard = Buffer.alloc(0);
  closed: { code: number; reason: string } | undefined;
  refused: { status: number; code: string } | undefined;

  constructor(readonly socket: WebSocket) {
    socket.on('message', (data) => { this.heard = Buffer.concat([this.heard, data as Buffer]); });
    socket.on('close', (code, reason) => { this.closed = { code, reason: reason.toString() }; });
    socket.on('error', () => undefined); // of a refused upgrade; `refused` tells
    socket.on('unexpected-response', (_request, response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => { text += chunk.toString(); }).on('end', () => { this.refused = { status: response.statusCode ?? 0, code: (JSON.parse(text) as { code: string }).code }; });
    });
    clients.push(this);
  }

  static to(path: string, options: { ticket?: string; headers?: Record<string, string>; protocols?: string[] } = {}): Client {
    return new Client(new WebSocket(`${gateway.url.replace('http', 'ws')}${path}`, options.protocols ?? [consoleProtocol, ticketProtocol(options.ticket ?? 'a-ticket')], { headers: options.headers ?? {}, perMessageDeflate: false }));
  }

  async ended(): Promise<{ code: number; reason: string }> {
    await until('it is closed', () => this.closed !== undefined);
    return this.closed!;
  }
}

const path = (kind = 'vnc'): string => `/v1/vms/${vmId}/console?kind=${kind}`;
const connect = (options?: Parameters<typeof Client.to>[1]): Client => Client.to(path(), options);
const fail = (code: string, detail = 'so it is', details: Fault['details'] = {}): Result<never> => ({ ok: false, fault: { code, detail, details } });

/** A client whose console is open, and the agent at its other end. */
async function opened(options?: Parameters<typeof Client.to>[1]): Promise<{ client: Client; agent: Agent }> {
  const before = agents.length;
  const client = connect(options);
  await until('the agents are asked', () => agents.length > before);
  const agent = agents[before]!;
  await agent.pipe.send(Buffer.from('hello'));
  await until('the greeting has come', () => client.heard.toString() === 'hello');
  return { client, agent };
}

let taking: Promise<void> | undefined;
beforeAll(async () => { gateway = await GatewayUnderTest.start({ limits: { console: limits } }); }, 30_000);
afterAll(() => gateway.end());
beforeEach(async () => {
  for (const { socket } of clients.splice(0)) socket.terminate();
  await until('every pipe is over', () => agents.every(({ over }) => over !== undefined));
  agents.length = 0;
  gateway.asked.length = 0;
  vmId = newUuid();
  verdict = ok({});
  taking = undefined;
  opening = () => undefined;
  gateway.play('compute.console.check', () => verdict);
  gateway.play('compute.console.open', ({ input }) => {
    const refused = opening(input);
    if (refused) return refused;
    const sessionId = randomBytes(16).toString('hex');
    agents.push(new Agent(sessionId, taking));
    return ok({ sessionId, hostId, epoch: 7, user: { id: people.ann.userId, handle: 'ann' }, holder: holders.ann });
  });
});

describe('a ticket', () => {
  it('is asked for with the session of whoever asks, which no client can name himself', async () => {
    gateway.play('compute.console-ticket.create', () => ok({ ticket: 'x', kind: 'vnc', expiresInMs: 30_000, path: path() }));
    const ask = (body: object) => gateway.fetch(`/v1/vms/${vmId}/console-tickets`, { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } });
    expect((await ask({ kind: 'vnc' })).status).toBe(201);
    expect(gateway.questions('compute.console-ticket.create')).toMatchObject([{ actor: 'actor-of-ann', input: { vmId, kind: 'vnc', holder: holders.ann } }]);
    expect((await ask({ kind: 'vnc', holder: holders.eve })).status).toBe(400);
  });

  it('is shown to compute with the VM and kind of the path, and with the user where he proves himself', async () => {
    const first = Client.to(path('serial'), { ticket: 'one' });
    const second = Client.to(path('vnc'), { ticket: 'two', headers: { authorization: 'Bearer ann' } });
    await until('the agents are asked', () => agents.length === 2);
    const shown = gateway.questions('compute.console.open').map(({ input, actor }) => ({ ...input, actor }));
    expect(shown).toEqual(expect.arrayContaining([{ vmId, kind: 'serial', ticket: 'one', actor: 'service:gateway' }, { vmId, kind: 'vnc', ticket: 'two', userId: people.ann.userId, actor: 'service:gateway' }]));
    await until('both are open', () => first.socket.readyState === WebSocket.OPEN && second.socket.readyState === WebSocket.OPEN);
    expect([first.socket.protocol, second.socket.protocol]).toEqual([consoleProtocol, consoleProtocol]);
  });

  it.each([
    ['TICKET_INVALID', 4401], ['PERMISSION_DENIED', 4403], ['NOT_FOUND', 4404], ['WRONG_STATE', 4409], ['HOST_UNREACHABLE', 4409], ['OVERLOADED', 4503],
  ])('that is refused with %s closes the WebSocket with %i, and says why', async (code, expected) => {
    opening = () => fail(code, 'This is why.');
    expect(await connect().ended()).toEqual({ code: expected, reason: `${code}: This is why.` });
    expect(agents).toEqual([]);
  });

  it('that has no right form, and a page of another origin, are refused before compute is asked', async () => {
    const refusals: readonly [Parameters<typeof Client.to>[1], string, number, string][] = [
      [{ protocols: [consoleProtocol] }, path(), 401, 'TICKET_INVALID'],
      [{ protocols: [ticketProtocol('x')] }, path(), 400, 'INVALID_ARGUMENT'],
      [{}, path('vga'), 400, 'INVALID_ARGUMENT'],
      [{}, '/v1/vms/x/console?kind=vnc', 400, 'INVALID_ARGUMENT'],
      [{ headers: { origin: 'http://evil.example' } }, path(), 403, 'PERMISSION_DENIED'],
      [{ headers: { authorization: 'Bearer nobody' } }, path(), 401, 'UNAUTHENTICATED'],
    ];
    for (const [options, to, status, code] of refusals) {
      const client = Client.to(to, options);
      await until('it is refused', () => client.refused !== undefined);
      expect(client.refused).toEqual({ status, code });
    }
    expect((await gateway.fetch(path())).status).toBe(400);
    expect((await gateway.fetch(path(), { method: 'POST' })).status).toBe(405);
    expect(gateway.questions('compute.console.open')).toEqual([]);
    const { client } = await opened({ headers: { origin: gateway.url } });
    expect(client.closed).toBeUndefined();
  });
});

describe('bytes', () => {
  it('pass both ways, in order and whole, those that the client sends at once too', async () => {
    const client = connect();
    const sent = randomBytes(300_000);
    client.socket.on('open', () => { for (let at = 0; at < sent.length; at += 50_000) client.socket.send(sent.subarray(at, at + 50_000)); });
    await until('the agents are asked', () => agents.length === 1 && agents[0]!.heard.length === sent.length);
    expect(agents[0]!.heard.equals(sent)).toBe(true);
    const back = randomBytes(2_000_000);
    await agents[0]!.pipe.send(back);
    await until('all has come back', () => client.heard.length === back.length);
    expect(client.heard.equals(back)).toBe(true);
  });

  it('for a client that does not read wait at the host, and it is let go after a while', async () => {
    Object.assign(limits, { slowMs: 300 });
    const { client, agent } = await opened();
    client.socket.pause();
    let sent = 0;
    const flood = async (): Promise<void> => {
      while (agent.over === undefined && sent < 200_000_000) {
        await agent.pipe.send(Buffer.alloc(100_000));
        sent += 100_000;
      }
    };
    const flooding = flood();
    await until('the pipe is over', () => agent.over !== undefined);
    await flooding;
    expect(sent).toBeLessThan(50_000_000); // what the sockets of this machine take
    client.socket.resume();
    expect((await client.ended()).code).toBeGreaterThan(1000);
    Object.assign(limits, { slowMs: 3_600_000 });
  });

  it('for a guest that takes nothing wait at the client', async () => {
    taking = new Promise(() => undefined);
    const { client } = await opened();
    let passed = 0;
    for (let round = 0; round < 400; round++) client.socket.send(Buffer.alloc(50_000), () => { passed += 50_000; });
    await new Promise((resolve) => { setImmediate(resolve); });
    await until('bytes wait to be sent', () => client.socket.bufferedAmount > 0);
    expect(passed).toBeLessThan(20_000_000);
  });

  it('of a message that is too large close the console', async () => {
    const { client, agent } = await opened();
    client.socket.send(Buffer.alloc(limits.messageBytes + 1));
    expect((await client.ended()).code).toBe(1009);
    await until('the pipe is over', () => agent.over !== undefined);
  });
});

describe('an open console', () => {
  it('closes when the client leaves: the host is told', async () => {
    const { client, agent } = await opened();
    client.socket.close();
    await until('the pipe is over', () => agent.over !== undefined);
    expect(agent.over).toBe('left');
  });

  it.each([['vm-stopped', 4410], ['closed', 4410], ['agent-stopping', 1012]])('closes when the host says %s, with %i', async (reason, code) => {
    const { client, agent } = await opened();
    agent.pipe.end(reason);
    expect((await client.ended()).code).toBe(code);
  });

  it('closes at once when the user is disabled, signs out or loses the right, and stays when it was another user', async () => {
    for (const [code, expected] of [['UNAUTHENTICATED', 4401], ['PERMISSION_DENIED', 4403]] as const) {
      const { client, agent } = await opened();
      await gateway.announceChange('eve');
      await gateway.announceChange('ann');
      await until('it was asked whether it may stay', () => gateway.questions('compute.console.check').some(({ input }) => input['vmId'] === vmId));
      expect(client.closed).toBeUndefined();
      verdict = fail(code);
      await gateway.announceChange('ann');
      expect(await client.ended()).toEqual({ code: expected, reason: `${code}: so it is` });
      await until('the pipe is over', () => agent.over !== undefined);
      verdict = ok({});
    }
    expect(gateway.questions('compute.console.check')[0]?.input).toEqual({ vmId, epoch: 7, holder: holders.ann });
  });

  it('closes when its VM stops or its host is lost, of which compute tells', async () => {
    const { client } = await opened();
    verdict = fail('HOST_UNREACHABLE');
    gateway.nats.publish(eventSubject(vmChanged, newUuid()), '{}');
    gateway.nats.publish(eventSubject(vmChanged, vmId), '{}');
    expect(await client.ended()).toEqual({ code: 4409, reason: 'HOST_UNREACHABLE: so it is' });
  });

  it('stays open while nobody can say whether it may', async () => {
    const { client, agent } = await opened();
    verdict = fail('UNAVAILABLE', 'away', { service: 'auth' });
    const before = gateway.questions('compute.console.check').length;
    await gateway.announceChange('ann');
    await until('it was asked whether it may stay', () => gateway.questions('compute.console.check').length > before);
    await agent.pipe.send(Buffer.from('!'));
    await until('more has come', () => client.heard.toString() === 'hello!');
  });

  it('closes when nothing passes for too long, and when the client is silent', async () => {
    const { client: idle } = await opened();
    Object.assign(limits, { idleMs: 100 });
    expect((await idle.ended()).code).toBe(4408);
    Object.assign(limits, { idleMs: 3_600_000 });
    const { client: dead, agent } = await opened();
    dead.socket.pause(); // it answers no ping
    await until('the pipe is over', () => agent.over !== undefined);
    expect(agent.over).toBe('left');
  });

  it('is one of a few that a user may have, and of those that the door takes', async () => {
    for (let one = 0; one < limits.mostPerUser; one++) await opened();
    expect((await connect().ended()).code).toBe(4429);
    let other = 0;
    gateway.play('compute.console.open', () => {
      const sessionId = randomBytes(16).toString('hex');
      agents.push(new Agent(sessionId));
      return ok({ sessionId, hostId, epoch: 7, user: { id: newUuid(), handle: `user${other++}` }, holder: holders.eve });
    });
    for (let one = limits.mostPerUser; one < limits.mostAtOnce; one++) await opened();
    const client = connect();
    await until('it is refused', () => client.refused !== undefined);
    expect(client.refused).toEqual({ status: 503, code: 'OVERLOADED' });
  });
});

describe('the page', () => {
  it('comes with a policy and a nonce of its own each time, and with everything that it imports', async () => {
    const [one, two] = await Promise.all([0, 1].map(() => gateway.fetch(`/console/vnc/${vmId}`, { as: null })));
    const policy = one!.headers.get('content-security-policy') ?? '';
    expect([one!.status, policy]).toEqual([200, expect.stringContaining("script-src 'self'; ")]);
    expect(two!.headers.get('content-security-policy')).not.toBe(policy);
    const nonce = /'nonce-([^']+)'/.exec(policy)?.[1];
    expect(await one!.text()).toContain(`content="${nonce}"`);
    const seen = new Set<string>();
    const read = async (path: string): Promise<void> => {
      if (seen.has(path)) return;
      seen.add(path);
      const answer = await gateway.fetch(path, { as: null });
      expect([path, answer.status, answer.headers.get('x-content-type-options')]).toEqual([path, 200, 'nosniff']);
      const text = await answer.text();
      const imports = path.endsWith('xterm.mjs') ? [] : [...text.matchAll(/(?:from|import\() ?["']([^"']+\.m?js)["']/g)].map(([, to]) => new URL(to!, `http://x${path}`).pathname);
      for (const to of imports) await read(to);
    };
    for (const path of ['/console/console.js', '/console/console.css', '/console/xterm.css']) await read(path);
    expect(seen.size).toBeGreaterThan(40);
    for (const path of ['/console/novnc/package.json', '/console/novnc/core/..%2f..%2fpackage.json', '/console/other/x']) expect([path, (await gateway.fetch(path, { as: null })).status]).toEqual([path, 404]);
  });
});

describe('the door', () => {
  it('answers an upgrade on another path as what it is', async () => {
    const status = await new Promise<number | undefined>((resolve, reject) => {
      const { hostname, port } = new URL(gateway.url);
      const request = httpRequest({ hostname, port, path: '/v1/vms', headers: { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13', 'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==' } });
      request.on('response', (response) => { resolve(response.statusCode); }).on('upgrade', () => { resolve(101); }).on('error', reject).end();
    });
    expect(status).toBe(401);
  });

  it('closes every console with words when it closes, and does not wait for clients that do not answer', async () => {
    const { client, agent } = await opened();
    const { client: deaf } = await opened();
    deaf.socket.pause();
    await gateway.stop();
    expect(await client.ended()).toMatchObject({ code: 1012 });
    await until('the pipe is over', () => agent.over !== undefined);
    deaf.socket.resume();
    await deaf.ended();
  });
});
