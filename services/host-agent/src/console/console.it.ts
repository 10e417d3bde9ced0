// Consoles on a real host: an agent's process, real QEMU (its firmware draws on the screen, its serial port is written to
// by the monitor for people), and a door that the test plays.
import { afterAll, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { appendFileSync, readFileSync, truncateSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { openPipe } from '#bus';
import type { Pipe } from '#bus';
import { consoleSubject, hostConsoleOpen } from '#contracts';
import type { ConsoleKind, HostVmSpec } from '#contracts';
import { orThrow } from '#kernel';
import type { Result } from '#kernel';
import { lit, RfbClient, until } from '#testing';
import { AgentLab, smallVm } from '../agent-lab.fixture.ts';

jest.setTimeout(60_000);

const serialPort = 0x3f8;
let lab: AgentLab;
let vm: HostVmSpec;
let index = 130;
beforeAll(async () => {
  lab = await AgentLab.open();
  await lab.start();
});
afterAll(() => lab.close());
beforeEach(async () => {
  vm = smallVm(index++);
  await lab.startVm(vm);
});

interface Door { readonly pipe: Pipe; readonly heard: () => string; readonly bytes: () => Buffer; readonly over: () => string | undefined }

const ask = (kind: ConsoleKind, over: { sessionId?: string; epoch?: number; historyBytes?: number } = {}) =>
  lab.ask(hostConsoleOpen, { vmId: vm.vmId, epoch: over.epoch ?? 1, sessionId: over.sessionId ?? randomBytes(16).toString('hex'), kind, historyBytes: over.historyBytes ?? 1_000 });

/** Opens a session as a door does. `held` = the door takes no bytes before that. */
async function door(kind: ConsoleKind, over: { historyBytes?: number; feed?: (bytes: Uint8Array) => void; held?: Promise<void> } = {}): Promise<Door> {
  const sessionId = randomBytes(16).toString('hex');
  orThrow(await ask(kind, { ...over, sessionId }));
  const heard: Buffer[] = [];
  const pipe = openPipe(lab.nats, { from: consoleSubject(lab.hostId, sessionId, 'out'), to: consoleSubject(lab.hostId, sessionId, 'in') }, {
    onBytes: async (bytes) => {
      await over.held;
      heard.push(Buffer.from(bytes));
      over.feed?.(bytes);
    },
    onEnd: () => undefined,
  });
  pipe.greet();
  // An agent that ends in this very moment would speak to nobody yet.
  await lab.nats.flush();
  const bytes = (): Buffer => Buffer.concat(heard);
  return { pipe, bytes, heard: () => bytes().toString('latin1'), over: () => pipe.over };
}

const guestSays = async (text: string): Promise<void> => { for (const char of text) await lab.writePort(vm.vmId, 'b', serialPort, char.charCodeAt(0)); };
/** What the guest has received, as far as `count` characters go. */
async function guestHears(count: number): Promise<string> {
  let text = '';
  while (text.length < count) text += String.fromCharCode(await until('a character is there', async () => (await lab.readPort(vm.vmId, 'b', serialPort + 5) & 1) === 1 && { code: await lab.readPort(vm.vmId, 'b', serialPort) }).then(({ code }) => code));
  return text;
}
const consoleLog = (): string => join(lab.vmDir(vm.vmId), 'run', 'console.log');
const code = (answer: Result<unknown>): string => (answer.ok ? 'OK' : answer.fault.code);

describe('the serial console', () => {
  test('shows what was written before, from the beginning of a line, then what is written, to everyone; and takes what anyone types', async () => {
    await guestSays('one\ntwo\nthree');
    const [first, second] = [await door('serial', { historyBytes: 7 }), await door('serial')];
    await until('both have the past', () => first.heard() === 'three' && second.heard() === 'one\ntwo\nthree');
    await guestSays(' four');
    await until('both have the present', () => first.heard() === 'three four' && second.heard() === 'one\ntwo\nthree four');
    await first.pipe.send(Buffer.from('ab'));
    expect(await guestHears(2)).toBe('ab');
    await second.pipe.send(Buffer.from('c'));
    expect(await guestHears(1)).toBe('c');
    first.pipe.end('left');
    await guestSays('!');
    await until('the other one goes on', () => second.heard().endsWith('four!'));
    second.pipe.end('left');
  });

  test('lets go of QEMU’s socket with the last who looks, and shows the output while somebody else holds it', async () => {
    const once = await door('serial');
    once.pipe.end('left');
    const other = connect(join(lab.vmDir(vm.vmId), 'run', 'ser.sock'));
    let heard = '';
    other.on('data', (bytes: Buffer) => { heard += bytes.toString(); });
    await until('somebody else has it', async () => {
      await guestSays('x');
      return heard.includes('x');
    });
    const late = await door('serial', { historyBytes: 0 });
    await guestSays('seen');
    await until('it shows', () => late.heard().endsWith('seen'));
    other.destroy();
    late.pipe.end('left');
  });

  test('goes on when its log is cut short, and costs the agent nothing while nobody reads', async () => {
    const large = 4 * 1024 * 1024;
    appendFileSync(consoleLog(), Buffer.alloc(large, 'y'));
    let go = (): void => undefined;
    const slow = await door('serial', { historyBytes: 1024 * 1024, held: new Promise((resolve) => { go = resolve; }) });
    const rss = (): number => Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${lab.pid}/status`, 'utf8'))?.[1]) * 1024;
    const before = rss();
    for (let round = 0; round < 20; round++) appendFileSync(consoleLog(), Buffer.alloc(large, 'z'));
    expect(rss() - before).toBeLessThan(large * 4);
    truncateSync(consoleLog(), 0);
    go();
    await guestSays('new');
    await until('it goes on', () => slow.heard().endsWith('new'));
    slow.pipe.end('left');
  });
});

describe('the screen', () => {
  test('is drawn for two at once, who both asked to be alone', async () => {
    const clients = await Promise.all([0, 1].map(async () => {
      const client = new RfbClient((bytes) => void opened.pipe.send(bytes));
      const opened = await door('vnc', { feed: (bytes) => { client.feed(bytes); } });
      return { client, opened };
    }));
    for (const { client } of clients) expect(await client.shakeHands()).toContain('QEMU');
    for (const { client } of clients) {
      const screen = await until('the firmware has drawn', async () => {
        const seen = await client.screen();
        return lit(seen) > 100 && seen;
      });
      expect(screen.pixels).toHaveLength(screen.width * screen.height * 4);
    }
    for (const { opened } of clients) opened.pipe.end('left');
  });
});

describe('a session', () => {
  test('is refused for another run, a VM that does not run, and one that is not here', async () => {
    expect(code(await ask('vnc', { epoch: 2 }))).toBe('STALE_EPOCH');
    await lab.powerOff(vm.vmId);
    expect(code(await ask('vnc'))).toBe('WRONG_STATE');
    vm = smallVm(index++);
    expect(code(await ask('vnc'))).toBe('NOT_FOUND_ON_HOST');
  });

  test.each(['vnc', 'serial'] as const)('of kind %s ends with the VM, and says so', async (kind) => {
    const opened = await door(kind);
    await until('it shows something', async () => {
      if (kind === 'serial') await guestSays('.');
      return opened.bytes().length > 0;
    });
    await lab.powerOff(vm.vmId);
    expect(await until('it ends', opened.over)).toBe('vm-stopped');
  });

  test('ends with a QEMU that is killed', async () => {
    const { pid } = await lab.status(vm.vmId);
    const opened = await door('serial');
    process.kill(pid!, 'SIGKILL');
    expect(await until('it ends', opened.over)).toBe('vm-stopped');
  });

  test('has a bound per VM', async () => {
    const doors = [];
    for (let one = 0; one < 16; one++) doors.push(await door('serial'));
    expect(code(await ask('serial'))).toBe('OVERLOADED');
    doors[0]!.pipe.end('left');
    await until('one may come', async () => (await ask('serial')).ok);
    for (const one of doors) one.pipe.end('left');
  });

  test('for which no door comes is closed', async () => {
    for (let one = 0; one < 16; one++) orThrow(await ask('serial'));
    expect(code(await ask('serial'))).toBe('OVERLOADED');
    await until('they are closed', async () => (await ask('serial')).ok, 30_000);
  });

  test('ends with the agent, told by one that stops and noticed of one that is killed; the guest goes on', async () => {
    const { pid } = await lab.status(vm.vmId);
    const told = await door('serial');
    lab.signal('SIGTERM');
    expect(await until('it is told', told.over)).toBe('agent-stopping');
    await lab.ended();
    await lab.start();
    const untold = await door('serial');
    await lab.kill();
    expect(await until('it is noticed', untold.over, 30_000)).toBe('silent');
    await lab.start();
    expect(await lab.status(vm.vmId)).toMatchObject({ state: 'running', pid });
    const again = await door('serial');
    await again.pipe.send(Buffer.from('k'));
    expect(await guestHears(1)).toBe('k');
    again.pipe.end('left');
  });
});
