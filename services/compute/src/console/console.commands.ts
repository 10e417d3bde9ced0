// Tickets for consoles, and what becomes of one when it is shown: right and state are looked at as they are in that moment,
// not as they were when the ticket was made.
import { randomBytes } from 'node:crypto';
import type { DataSource } from 'typeorm';
import type { BusClient, BusContext } from '#bus';
import {
  TicketInvalid, Unauthenticated, consoleOpened, createConsoleTicket, hostConsoleOpen, resolveHolder, consoleRoute,
  type Actor, type Holder, type HostId, type InputOf, type ReplyOf, type Vm, type checkConsole, openConsole,
} from '#contracts';
import { allowed, transaction, type Queryable } from '#database';
import { newUuid, ok, orThrow, type Result } from '#kernel';
import { auditMutation, emit, runCommand } from '#tasks';
import { stateOfHost } from '../host/host-order.store.ts';
import { own } from '../vm/vm.commands.ts';
import { findVm } from '../vm/vm.store.ts';
import { refuseBin } from '../vm/vm-bin.ts';
import { consoleHost, ticketLifeMs } from './console.ts';
import { insertTicket, renewSecret, spendTicket } from './console-ticket.store.ts';

type Ticket = ReplyOf<typeof createConsoleTicket>;

/** Why a ticket opens nothing, for whoever shows it. */
const refusals = {
  unknown: 'There is no such ticket.',
  used: 'The ticket was used before; each opens one console once.',
  ended: 'The ticket has ended; it is good for 30 seconds.',
  'other-console': 'The ticket is for another console.',
  'other-user': 'The ticket is somebody else’s.',
  'other-run': 'The VM was started anew since the ticket was made.',
} as const;
const refused = (reason: keyof typeof refusals): Result<never> => TicketInvalid.fail(`${refusals[reason]} Ask for another one.`, { reason });

/** The host answers at once: it only looks whether the VM runs. */
const hostMs = 4_000;

export class ConsoleCommands {
  constructor(private readonly db: DataSource, private readonly bus: Pick<BusClient, 'request' | 'requestHost'>) {}

  /** What is recorded for a repetition has no secret in it: each answer has one of its own, and the one before opens nothing. */
  async createTicket(input: InputOf<typeof createConsoleTicket>, ctx: BusContext): Promise<Result<Ticket>> {
    const { actor } = ctx;
    const { holder } = input;
    if (actor === null || holder === undefined) return Unauthenticated.fail('Tickets are for users who are signed in at the door.');
    const made = await runCommand(this.db, { ctx, operation: createConsoleTicket, input }, async (tx) => {
      const vm = await own(tx, ctx, input.vmId, 'vm.console');
      orThrow(consoleHost(vm.status, await this.responds(tx, vm)));
      const id = newUuid();
      await insertTicket(tx, { id, vmId: vm.id, kind: input.kind, epoch: vm.status.epoch, historyBytes: input.historyBytes, userId: actor.userId, holder, lifeMs: ticketLifeMs });
      return { ticket: id, kind: input.kind, expiresInMs: ticketLifeMs, path: `${consoleRoute.path.replace(':vmId', vm.id)}?kind=${input.kind}` };
    });
    if (!made.ok) return made;
    const ticket = await renewSecret(this.db, made.value.ticket);
    return ticket === undefined ? TicketInvalid.fail('The ticket of this request is used or has ended; ask with another idempotency key.', { reason: 'ended' }) : ok({ ...made.value, ticket });
  }

  /**
   * Dies after the ticket is spent: the user asks for another one. Dies after the host was asked: nobody comes for the
   * session, and the host closes it by itself.
   */
  async open({ ticket: secret, vmId, kind, userId }: InputOf<typeof openConsole>, ctx: BusContext): Promise<Result<ReplyOf<typeof openConsole>>> {
    const spent = await spendTicket(this.db, secret);
    if (spent.kind !== 'spent') return refused(spent.kind);
    const { ticket } = spent;
    if (ticket.vmId !== vmId || ticket.kind !== kind) return refused('other-console');
    if (userId !== undefined && userId !== ticket.userId) return refused('other-user');
    const place = await this.place(vmId, ticket.epoch, ticket.holder, ctx);
    if (!place.ok) return place.fault.code === 'STALE_EPOCH' ? refused('other-run') : place;
    const { actor, hostId } = place.value;
    if (actor.userId !== ticket.userId) return refused('other-user');
    const sessionId = randomBytes(16).toString('hex');
    const opened = await this.bus.requestHost(hostId, hostConsoleOpen, { vmId, epoch: ticket.epoch, sessionId, kind, historyBytes: ticket.historyBytes }, { ctx, as: 'system', timeoutMs: hostMs });
    if (!opened.ok) return opened;
    await transaction(this.db, async (tx) => {
      await emit(tx, consoleOpened, { objectId: vmId, data: { vmId, kind, epoch: ticket.epoch, hostId }, actor });
      await auditMutation(tx, { ctx: { ...ctx, actor }, operation: openConsole, input: { vmId }, reply: {}, object: { noun: 'vm', id: vmId } });
    });
    return ok({ sessionId, hostId, epoch: ticket.epoch, user: { id: actor.userId, handle: actor.handle }, holder: ticket.holder });
  }

  async check({ vmId, epoch, holder }: InputOf<typeof checkConsole>, ctx: BusContext): Promise<Result<Record<string, never>>> {
    const place = await this.place(vmId, epoch, holder, ctx);
    return place.ok ? ok({}) : place;
  }

  /** Who opens it, with the rights that he has now, and where it is. */
  private async place(vmId: string, epoch: number, holder: Holder, ctx: BusContext): Promise<Result<{ actor: Actor; hostId: HostId }>> {
    const who = await this.bus.request(resolveHolder, { holder }, { ctx, as: 'system' });
    if (!who.ok) return who;
    const { actor } = who.value;
    const vm = allowed(actor, 'vm.console', (await findVm(this.db, vmId))?.vm, { noun: 'vm', id: vmId, read: 'vm.read' });
    if (!vm.ok) return vm;
    const binned = refuseBin(vm.value, 'out');
    if (!binned.ok) return binned;
    const host = consoleHost(vm.value.status, await this.responds(this.db, vm.value), epoch);
    return host.ok ? ok({ actor, hostId: host.value }) : host;
  }

  private async responds(db: Queryable, { status }: Vm): Promise<boolean> {
    return status.hostId !== null && (await stateOfHost(db, status.hostId)) === 'connected';
  }
}
