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

/** Of the WebSocket of a console; the ticket is another one beside it, and the door never repeats that. */
export const consoleProtocol = 'tokamak.console.v1';
export const ticketProtocol = (ticket: string): string => `ticket.${ticket}`;

/** Why a console's WebSocket closes, by its close code. From 4400 on: 4000 and the HTTP status of a refusal, whose code the reason begins with. */
export const consoleCloses = {
  1000: 'the client left',
  1009: 'a message was larger than the door takes',
  1012: 'the door, the bus or the host’s agent restarts: open it again',
  4400: 'the request is malformed',
  4401: 'the ticket opens nothing, or the session that asked for it has ended',
  4403: 'the right is lost',
  4404: 'the VM is gone, or may not be seen any more',
  4408: 'nothing passed for too long, or it was open for the longest time',
  4409: 'the VM does not run, was started anew, or its host does not respond',
  4410: 'the VM has stopped',
  4413: 'the client did not read what was sent',
  4429: 'too many consoles are open',
  4500: 'something failed on the way: open it again',
  4503: 'a service or the host does not answer: open it again later',
  4504: 'a service did not answer in time: open it again',
} as const;
export type ConsoleCloseCode = keyof typeof consoleCloses;
