// The consoles of a real guest, from where a user sits: its serial line by tokctl, its screen and keyboard as RFB through
// the door's WebSocket, and what closes one.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { createConsoleTicket, createGrant, createUser, deleteUser, getHost, listEvents, listRoles, startVm, stopVm, updateUser, consoleProtocol, ticketProtocol } from '#contracts';
import type { ConsoleKind, ReplyOf, Vm } from '#contracts';
import { WebSocket } from 'ws';
import { lit, RfbClient } from '../../libs/testing/src/rfb.ts';
import { eventually } from './eventually.ts';
import { inGuest } from './guest-shell.ts';
import { agentName, crash, startAgain } from './lab.mjs';
import { qemusOf } from './qemu.ts';
import { Rest } from './rest.ts';
import { openShell, signInShell } from './shell.ts';
import type { Shell } from './shell.ts';
import { booted, consoleOf, deploy, removeOwn, vmOf } from './vms.ts';
import { hostOf, openWorld } from './world.ts';
import type { World } from './world.ts';

let world: World;
let shell: Shell;
let vm: Vm;
const users: ReplyOf<typeof createUser>[] = [];

beforeAll(async () => {
  world = await openWorld('cons');
  shell = await openShell(world);
  await signInShell(shell, world);
  vm = await booted(world, await deploy(world, 'guest'));
}, 180_000);
afterAll(async () => {
  await removeOwn(world);
  for (const { id } of users) await world.rest.ask(deleteUser, { userId: id });
  await shell.close();
});

interface Opened { readonly socket: WebSocket; readonly closed: Promise<{ code: number; reason: string }> }

const ticketOf = (rest: Rest, kind: ConsoleKind) => rest.ask(createConsoleTicket, { vmId: vm.id, kind });

function show({ ticket, path }: ReplyOf<typeof createConsoleTicket>): Opened {
  const socket = new WebSocket(new URL(path, world.record.gateway.url.replace('http', 'ws')), [consoleProtocol, ticketProtocol(ticket)]);
  const closed = new Promise<{ code: number; reason: string }>((resolve) => { socket.once('close', (code, reason) => { resolve({ code, reason: reason.toString() }); }); });
  socket.on('error', () => undefined); // the close follows
  return { socket, closed };
}

/** A console that is open and has shown something. */
async function openConsole(rest: Rest, kind: ConsoleKind): Promise<Opened> {
  const opened = show(await ticketOf(rest, kind));
  await once(opened.socket, 'message');
  return opened;
}

describe('the serial console by tokctl', () => {
  it('shows what the guest has written, and carries a script’s commands in and their output back', async () => {
    const ended = await shell.run(['tokctl', 'vm', 'console', vm.name, '--until', 'COUNT', '--timeout', '30s'], { withinMs: 40_000 });
    expect([ended.status, ended.out]).toEqual([0, expect.stringContaining('GUEST-UP')]);
    const typed = await shell.run(['tokctl', 'vm', 'console', vm.name, '--history', '0', '--until', 'SUM-42-', '--timeout', '30s'], { input: '\necho SUM-$((6*7))-\n', withinMs: 40_000 });
    expect([typed.status, typed.out]).toEqual([0, expect.stringMatching(/SUM-42-/)]);
    expect(typed.out).not.toContain('GUEST-UP');
  }, 90_000);

  it('stands in the history of the VM, with who opened it', async () => {
    const event = await eventually('the event is there', async () => (await world.rest.ask(listEvents, { objectId: vm.id, name: 'compute.console.opened', latest: true, limit: 10 })).items[0]);
    expect(event).toMatchObject({ actor: { handle: world.record.admin.user }, data: { kind: 'serial' } });
  });

  it('of a VM that does not run is refused with what to do', async () => {
    const stopped = await deploy(world, 'stopped', { start: false });
    const ended = await shell.run(['tokctl', 'vm', 'console', stopped.name]);
    expect([ended.status, ended.err]).toEqual([5, expect.stringContaining('start it first')]);
  });
});

describe('the screen through the door', () => {
  it('shows the guest’s pixels, and its keyboard reaches the guest', async () => {
    const { socket } = show(await ticketOf(world.rest, 'vnc'));
    const client = new RfbClient((bytes) => { socket.send(bytes); });
    socket.on('message', (data) => { client.feed(data as Buffer); });
    expect(await client.shakeHands()).toContain('QEMU');
    const screen = await client.screen();
    expect([screen.width > 300, screen.height > 200, lit(screen) > 500]).toEqual([true, true, true]);
    // A shell sits at the guest's first terminal.
    const typed = `/tmp/typed-${world.prefix}`;
    for (const char of `\ntouch ${typed}\n`) client.press(char === '\n' ? 0xff0d : char.charCodeAt(0));
    await eventually('the guest has what was typed', async () => (await inGuest(world, vm, `ls ${typed}`)).status === 0, { withinMs: 40_000 });
    socket.close();
  }, 90_000);

  it('is served to any viewer on this machine by tokctl vm vnc', async () => {
    const child: ChildProcess = spawn(join(world.lab.repo, 'tools/tokctl/tokctl'), ['vm', 'vnc', vm.name, '--once'], { env: shell.env });
    try {
      const at = ((await once(child.stdout!, 'data')) as [Buffer])[0].toString().trim();
      const viewer = createConnection(Number(at.split(':')[1]), '127.0.0.1');
      const client = new RfbClient((bytes) => { viewer.write(bytes); });
      viewer.on('data', (bytes: Buffer) => { client.feed(bytes); });
      await client.shakeHands();
      expect(lit(await client.screen())).toBeGreaterThan(500);
      viewer.destroy();
      expect(await once(child, 'exit')).toEqual([0, null]);
    } finally {
      child.kill('SIGKILL');
    }
  }, 60_000);
});

describe('a ticket', () => {
  it('opens one console once, and only the one that it is for', async () => {
    const ticket = await ticketOf(world.rest, 'serial');
    const first = show(ticket);
    await once(first.socket, 'message');
    expect(await show(ticket).closed).toMatchObject({ code: 4401, reason: expect.stringContaining('used before') });
    first.socket.close();
    const other = await ticketOf(world.rest, 'serial');
    expect(await show({ ...other, path: other.path.replace('serial', 'vnc') }).closed).toMatchObject({ code: 4401, reason: expect.stringContaining('another console') });
  });

  it('is given to nobody without the right, and what it opened closes with the user who is disabled', async () => {
    const made = await world.rest.ask(createUser, { handle: `${world.prefix}-user`, password: 'a long password', mustChangePassword: false });
    users.push(made);
    const rest = await Rest.signIn(world.record.gateway.url, made.handle, 'a long password');
    expect((await rest.refusal(createConsoleTicket, { vmId: vm.id, kind: 'vnc' })).status).toBe(404);
    const role = (await world.rest.ask(listRoles, { name: 'operator' })).items[0]!;
    await world.rest.ask(createGrant, { userId: made.id, roleId: role.id });
    const mine = await eventually('the grant counts', () => openConsole(rest, 'vnc'));
    const others = await openConsole(world.rest, 'vnc');
    await world.rest.ask(updateUser, { userId: made.id, disabled: true });
    expect(await mine.closed).toMatchObject({ code: 4401 });
    expect(others.socket.readyState).toBe(WebSocket.OPEN);
    others.socket.close();
  });
});

describe('an open console', () => {
  it('closes when the agent is killed, and another one opens when it is back; the guest has not noticed', async () => {
    const before = await qemusOf(world, vm.id);
    const open = await openConsole(world.rest, 'serial');
    const host = hostOf(world, vm);
    await crash(world.lab, agentName(host.name));
    expect((await open.closed).code).toBeGreaterThanOrEqual(4409);
    startAgain(world.lab, agentName(host.name));
    await eventually('the host is back', async () => (await world.rest.ask(getHost, { hostId: host.id })).state === 'connected' && (await vmOf(world, vm.id)).status.state === 'running');
    const again = await eventually('it opens again', () => openConsole(world.rest, 'serial'));
    again.socket.close();
    expect(await qemusOf(world, vm.id)).toEqual(before);
  }, 90_000);

  it('closes when the VM stops, and the guest’s last words are in it', async () => {
    const open = await openConsole(world.rest, 'serial');
    let heard = '';
    open.socket.on('message', (data) => { heard += (data as Buffer).toString('latin1'); });
    await world.rest.carryOut(stopVm, { vmId: vm.id });
    expect([4409, 4410]).toContain((await open.closed).code);
    const log = await consoleOf(world, vm);
    expect(heard.length > 0 && log.endsWith(heard.slice(-20))).toBe(true);
    await world.rest.carryOut(startVm, { vmId: vm.id });
  }, 90_000);

  it('is reached by nothing but the door: no port on the host, and a socket that root alone may open', () => {
    const listening = readFileSync(`/proc/${world.lab.processes.get(agentName(hostOf(world, vm).name))?.pid ?? 0}/net/tcp`, 'utf8').split('\n').filter((line) => line.includes(' 0A '));
    const ports = listening.map((line) => parseInt(line.trim().split(/\s+/)[1]!.split(':')[1]!, 16));
    expect(ports.filter((port) => port >= 5900 && port < 6000)).toEqual([]);
  });
});
