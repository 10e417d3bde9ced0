// What a request for a console says, and what its end means to the client: decisions over texts. Pure.
import { consoleCloses, ConsoleKind, consoleProtocol, httpStatusOf, InvalidArgument, PermissionDenied, ticketProtocol, TicketInvalid, VmId } from '#contracts';
import type { ConsoleCloseCode } from '#contracts';
import type { Fault, Result } from '#kernel';
import { ok } from '#kernel';

export interface Wish { readonly vmId: VmId; readonly kind: ConsoleKind; readonly ticket: string }

export interface Asked {
  readonly vmId: string;
  readonly kind: string | undefined;
  /** Header Sec-WebSocket-Protocol. */
  readonly protocols: string | undefined;
}

const wrong = (path: string, message: string): Result<never> => InvalidArgument.fail(`${path}: ${message}.`, { issues: [{ path, message }] });
const ticketForm = new RegExp(`^${ticketProtocol('([A-Za-z0-9_-]{1,200})').replace('.', '\\.')}$`);

/** The ticket comes as a subprotocol: browsers can send no header of their own, and an address is written into logs. */
export function wishOf({ vmId, kind, protocols = '' }: Asked): Result<Wish> {
  const id = VmId.safeParse(vmId);
  if (!id.success) return wrong('vmId', 'must be a UUID in lower case');
  const known = ConsoleKind.safeParse(kind);
  if (!known.success) return wrong('kind', `must be ${ConsoleKind.options.join(' or ')}`);
  const offered = protocols.split(',').map((protocol) => protocol.trim());
  if (!offered.includes(consoleProtocol)) return wrong('Sec-WebSocket-Protocol', `must offer ${consoleProtocol}`);
  const [ticket, ...more] = offered.flatMap((protocol) => ticketForm.exec(protocol)?.[1] ?? []);
  if (ticket === undefined || more.length > 0) return TicketInvalid.fail(`Offer the ticket as one more subprotocol: ${ticketProtocol('<ticket>')}.`, { reason: 'unknown' });
  return ok({ vmId: id.data, kind: known.data, ticket });
}

/** A page of another site must not open a console with a ticket that it got hold of. Programs send no Origin. */
export function originFault(origin: string | undefined, host: string | undefined): Fault | undefined {
  if (origin === undefined || (URL.canParse(origin) && new URL(origin).host === host)) return undefined;
  return PermissionDenied.fault('Pages of another origin open no consoles here.', { permission: 'vm.console' });
}

export interface Close { readonly code: ConsoleCloseCode; readonly reason: string }

/** A close frame holds so many bytes of reason. */
const reasonBytes = 123;
const isCloseCode = (code: number): code is ConsoleCloseCode => Object.hasOwn(consoleCloses, code);

export function closeOf(code: ConsoleCloseCode, text: string): Close {
  let reason = text;
  while (Buffer.byteLength(reason) > reasonBytes) reason = reason.slice(0, -1);
  return { code, reason };
}

/** 4000 and the HTTP status of the refusal. */
export function closeOfFault({ code, detail }: Fault): Close {
  const number = 4000 + httpStatusOf(code);
  return closeOf(isCloseCode(number) ? number : 4500, `${code}: ${detail}`);
}

const restart = (what: string): Close => closeOf(1012, `SHUTTING_DOWN: ${what}; open the console again.`);
const broken = closeOf(4500, 'INTERNAL: Bytes were lost on the way; open the console again.');
const ends: Readonly<Record<string, Close>> = {
  'vm-stopped': closeOf(4410, 'VM_STOPPED: The VM has stopped.'),
  closed: closeOf(4410, 'CLOSED: QEMU has closed the console.'),
  'agent-stopping': restart('The host’s agent restarts'),
  'bus-away': restart('The bus was away'),
  silent: closeOf(4503, 'HOST_UNREACHABLE: The host does not answer.'),
};

/** What the end of the pipe means; for whoever still looks. */
export const closeOfEnd = (reason: string): Close => ends[reason] ?? broken;

/** Whether a refusal is about this console; others are troubles of the moment. */
export const isFinal = ({ code }: Fault): boolean => httpStatusOf(code) < 500 && httpStatusOf(code) !== 429;
