// Tickets against the real database: what one opens, once, for whom; and what ends an open console.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import {
  Unauthenticated, createConsoleTicket, hostConsoleOpen, permissions, resolveHolder,
  type Actor, type ConsoleKind, type Permission, type UserId, type VmId,
} from '#contracts';
import { execute, selectRows, transaction } from '#database';
import type { BusContext } from '#bus';
import { FaultError, newUuid, ok, orThrow, type Result } from '#kernel';
import { contextOf } from '#testing';
import { setHostState } from '../host/host-order.store.ts';
import { VmWorld } from '../vm/vm-world.fixture.ts';
import { changeVm } from '../vm/vm.store.ts';
import { ConsoleCommands } from './console.commands.ts';
import { purgeTickets } from './console-ticket.store.ts';

let world: VmWorld;
let consoles: ConsoleCommands;
let vmId: VmId;
/** Users by the id of their session, as auth knows them now; absent = the session has ended. */
const sessions = new Map<string, Actor>();
const opened: { vmId: string; kind: string; sessionId: string; epoch: number; historyBytes: number }[] = [];

const user = (rights: readonly Permission[] = permissions): Actor => ({ userId: newUuid() as UserId, handle: 'ann', rights: rights.length === 0 ? [] : [{ permissions: [...rights], scope: 'site', scopeId: null }] });
const signIn = (actor: Actor): string => {
  const id = newUuid();
  sessions.set(id, actor);
  return id;
};
let ann: Actor;
let session: string;

beforeAll(async () => {
  world = await VmWorld.open();
  consoles = new ConsoleCommands(world.scene.db, world.bus.of('compute'));
  world.bus.handle(resolveHolder, ({ holder }) => {
    const actor = sessions.get(holder.id);
    return Promise.resolve(actor ? ok({ actor, actorToken: 'token' }) : Unauthenticated.fail('The token is not valid; sign in again.'));
  });
  world.bus.host.act(hostConsoleOpen, (input) => {
    opened.push(input as never);
    return ok({});
  });
});
afterAll(() => world.close());
beforeEach(async () => {
  vmId = await world.vm('running');
  ann = user();
  session = signIn(ann);
  opened.length = 0;
});

const as = (actor: Actor, key = newUuid()): BusContext => contextOf({ actor, idempotencyKey: key });
const ask = (kind: ConsoleKind = 'serial', over: { actor?: Actor; holder?: string; key?: string; vm?: VmId } = {}) =>
  consoles.createTicket({ vmId: over.vm ?? vmId, kind, historyBytes: 100, holder: { kind: 'session', id: over.holder ?? session } }, as(over.actor ?? ann, over.key));
const ticket = async (kind?: ConsoleKind, over?: Parameters<typeof ask>[1]): Promise<string> => orThrow(await ask(kind, over)).ticket;
const open = (secret: string, over: { vmId?: VmId; kind?: ConsoleKind; userId?: UserId } = {}) =>
  consoles.open({ ticket: secret, vmId: over.vmId ?? vmId, kind: over.kind ?? 'serial', userId: over.userId }, contextOf({ system: true, caller: 'gateway' }));
const told = (answer: Result<unknown>): string => (answer.ok ? 'OK' : answer.fault.code === 'TICKET_INVALID' ? String(answer.fault.details?.['reason']) : answer.fault.code);
const check = async (): Promise<string> => told(await consoles.check({ vmId, epoch: 1, holder: { kind: 'session', id: session } }, contextOf({ system: true, caller: 'gateway' })));

describe('a ticket', () => {
  it('opens one console, of the run it was made for, on the host that has it', async () => {
    const made = orThrow(await ask('vnc'));
    expect(made).toMatchObject({ kind: 'vnc', expiresInMs: 30_000, path: `/v1/vms/${vmId}/console?kind=vnc` });
    expect(createConsoleTicket.reply.safeParse(made).success).toBe(true);
    const answer = orThrow(await open(made.ticket, { kind: 'vnc' }));
    expect(answer).toMatchObject({ hostId: world.hostId, epoch: 1, user: { id: ann.userId, handle: 'ann' }, holder: { kind: 'session', id: session } });
    expect(opened).toEqual([{ vmId, kind: 'vnc', epoch: 1, sessionId: answer.sessionId, historyBytes: 100 }]);
    const events = await selectRows<{ event: { actor: { handle: string }; data: { kind: string } } }>(world.scene.db, 'SELECT event FROM outbox WHERE subject = ?', [`tok.v1.evt.compute.console.opened.${vmId}`]);
    expect(events).toHaveLength(1);
  });

  it('is spent by the first of two who show it at once', async () => {
    const secret = await ticket();
    const met = (await Promise.all(Array.from({ length: 8 }, () => open(secret)))).map(told);
    expect(met.sort()).toEqual(['OK', ...Array.from({ length: 7 }, () => 'used')]);
    expect(opened).toHaveLength(1);
  });

  it('opens nothing when its time is over, for another VM, another kind, another user or another run, and is spent by the attempt', async () => {
    const other = await world.vm('running');
    const wrong: readonly [string, Parameters<typeof open>[1], (() => Promise<unknown>)?][] = [
      ['ended', {}, () => execute(world.scene.db, 'UPDATE console_ticket SET expires_at = UTC_TIMESTAMP(3) - INTERVAL 1 SECOND WHERE vm_id = ?', [vmId])],
      ['other-console', { vmId: other }],
      ['other-console', { kind: 'vnc' }],
      ['other-user', { userId: newUuid() as UserId }],
      ['other-run', {}, () => transaction(world.scene.db, (tx) => changeVm(tx, vmId, { epoch: 2 }))],
    ];
    for (const [reason, over, before] of wrong) {
      const secret = await ticket();
      await before?.();
      expect([reason, told(await open(secret, over)), told(await open(secret))]).toEqual([reason, reason, 'used']);
    }
    expect(told(await open('A'.repeat(43)))).toBe('unknown');
    expect(opened).toEqual([]);
  });

  it('whose spender died before the host was asked is worth nothing, and another one opens the console', async () => {
    const secret = await ticket();
    await execute(world.scene.db, 'UPDATE console_ticket SET used_at = UTC_TIMESTAMP(3) WHERE vm_id = ?', [vmId]);
    expect([told(await open(secret)), told(await open(await ticket()))]).toEqual(['used', 'OK']);
  });

  it('asked for again with the same key has a new secret, and the one before opens nothing', async () => {
    const key = newUuid();
    const [first, second] = [await ticket('serial', { key }), await ticket('serial', { key })];
    expect([told(await open(first)), told(await open(second))]).toEqual(['unknown', 'OK']);
    expect(told(await ask('serial', { key }))).toBe('ended');
  });

  it('stands nowhere in the database but as its hash', async () => {
    const secret = await ticket();
    const rows = await Promise.all(['console_ticket', 'task_command', 'outbox'].map((table) => selectRows(world.scene.db, `SELECT * FROM ${table}`)));
    expect(JSON.stringify(rows)).not.toContain(secret);
    await execute(world.scene.db, 'UPDATE console_ticket SET expires_at = UTC_TIMESTAMP(3) - INTERVAL 2 HOUR WHERE vm_id = ?', [vmId]);
    expect(await purgeTickets(world.scene.db)).toBeGreaterThan(0);
    expect(told(await open(secret))).toBe('unknown');
  });
});

describe('who gets one', () => {
  it('is the owner, and whoever has the right; others are told no more than they may know', async () => {
    const [owner, reader, nobody] = [user([]), user(['vm.read']), user([])];
    const owned = await world.vm('running', { ownerId: owner.userId });
    const code = async (actor: Actor): Promise<string> => {
      const answer = ask('serial', { actor, vm: owned, holder: signIn(actor) }).catch((error: unknown) => {
        if (error instanceof FaultError) return { ok: false as const, fault: error.fault };
        throw error;
      });
      return told(await answer);
    };
    expect([await code(owner), await code(reader), await code(nobody)]).toEqual(['OK', 'PERMISSION_DENIED', 'NOT_FOUND']);
  });

  it('must be signed in at the door: a service has none', async () => {
    expect(told(await consoles.createTicket({ vmId, kind: 'vnc', historyBytes: 0 }, as(ann)))).toBe('UNAUTHENTICATED');
    expect(told(await consoles.createTicket({ vmId, kind: 'vnc', historyBytes: 0, holder: { kind: 'session', id: session } }, contextOf({ system: true, caller: 'storage' })))).toBe('UNAUTHENTICATED');
  });

  it('needs a VM that runs', async () => {
    const stopped = await world.vm('stopped');
    const answer = await ask('serial', { vm: stopped });
    expect(answer).toMatchObject({ ok: false, fault: { code: 'WRONG_STATE', details: { state: 'stopped' } } });
  });
});

describe('an open console', () => {
  it('may stay while session, right and run are as they were', async () => {
    expect(await check()).toBe('OK');
  });
  it('ends with the session', async () => {
    const secret = await ticket();
    sessions.delete(session);
    expect([await check(), told(await open(secret))]).toEqual(['UNAUTHENTICATED', 'UNAUTHENTICATED']);
  });
  it('ends with the right', async () => {
    const secret = await ticket();
    sessions.set(session, { ...ann, rights: [{ permissions: ['vm.read'], scope: 'site', scopeId: null }] });
    expect([await check(), told(await open(secret))]).toEqual(['PERMISSION_DENIED', 'PERMISSION_DENIED']);
  });
  it('ends with the VM, with its run, and with its host', async () => {
    await transaction(world.scene.db, (tx) => setHostState(tx, world.hostId, 'not-responding', null));
    expect(await check()).toBe('HOST_UNREACHABLE');
    await transaction(world.scene.db, (tx) => setHostState(tx, world.hostId, 'connected', null));
    await transaction(world.scene.db, (tx) => changeVm(tx, vmId, { epoch: 2 }));
    expect(await check()).toBe('STALE_EPOCH');
    await transaction(world.scene.db, (tx) => changeVm(tx, vmId, { state: 'stopped' }));
    expect(await check()).toBe('WRONG_STATE');
  });
  it('says what the host says when it cannot serve', async () => {
    const secret = await ticket();
    world.bus.host.reachable = false;
    expect(told(await open(secret))).toBe('HOST_UNREACHABLE');
    world.bus.host.reachable = true;
  });
});
