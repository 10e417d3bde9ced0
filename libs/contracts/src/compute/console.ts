// Consoles of VMs: a ticket that opens one once, and what the door asks to open one and to keep it open.
import { z } from 'zod';
import { defineCommand, defineEvent, defineQuery } from '../define.ts';
import { HostCommandFailed, HostUnreachable, NotFound, Overloaded, StaleEpoch, TicketInvalid, TokenExpired, Unauthenticated, WrongState } from '../errors.ts';
import { HostId, UserId, VmId } from '../ids.ts';
import { Holder } from '../auth/session.ts';
import { ConsoleKind, ConsoleSessionId, HistoryBytes } from '../host/console.ts';
import { Epoch } from '../host/shapes.ts';
import { Done, Handle } from '../values.ts';

const Ticket = z.string().regex(/^[A-Za-z0-9_-]{43}$/, 'no ticket has this form');

export const createConsoleTicket = defineCommand('compute.console-ticket.create', {
  summary: 'A ticket that opens the screen or the serial console of a running VM: once, within 30 seconds',
  description: 'Open the WebSocket `GET /v1/vms/{vmId}/console?kind=…` with the subprotocols `tokamak.console.v1` and `ticket.<ticket>`. The console closes when the session that asked for the ticket ends, the right is lost, or the VM stops',
  http: 'POST /v1/vms/:vmId/console-tickets', permission: 'vm.console', on: 'vmId',
  input: z.strictObject({
    vmId: VmId, kind: ConsoleKind.describe('vnc = screen, keyboard and mouse; serial = the first serial port'),
    historyBytes: HistoryBytes.default(64 * 1024).describe('how much of what the serial console has shown before comes first'),
    holder: Holder.optional().describe('set by the door'),
  }),
  reply: z.strictObject({ ticket: Ticket, kind: ConsoleKind, expiresInMs: z.int(), path: z.string().describe('of the WebSocket') }).meta({ id: 'ConsoleTicket' }),
  errors: [NotFound, WrongState, HostUnreachable, Unauthenticated],
});

export const openConsole = defineCommand('compute.console.open', {
  summary: 'Spend a ticket: check right and state as they are now, and have the host serve the session', permission: 'internal', timeoutMs: 8_000,
  input: z.strictObject({ ticket: z.string().max(200), vmId: VmId, kind: ConsoleKind, userId: UserId.optional().describe('whoever shows the ticket, where he has proved it') }),
  reply: z.strictObject({ sessionId: ConsoleSessionId, hostId: HostId, epoch: Epoch, user: z.strictObject({ id: UserId, handle: Handle }), holder: Holder }),
  errors: [TicketInvalid, NotFound, WrongState, HostUnreachable, StaleEpoch, TokenExpired, Unauthenticated, Overloaded, HostCommandFailed],
});

export const checkConsole = defineQuery('compute.console.check', {
  summary: 'Whether an open console may stay open: session, right, and the run of the VM', permission: 'internal', timeoutMs: 5_000,
  input: z.strictObject({ vmId: VmId, epoch: Epoch, holder: Holder }), reply: Done, errors: [NotFound, WrongState, HostUnreachable, StaleEpoch, TokenExpired, Unauthenticated],
});

export const consoleOpened = defineEvent('compute.console.opened', { summary: 'Somebody opened a console of a VM', data: z.strictObject({ vmId: VmId, kind: ConsoleKind, epoch: Epoch, hostId: HostId }) });
