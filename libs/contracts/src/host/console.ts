// A console session on the host: a pipe of bytes between one door and one socket of a VM's QEMU. It leaves nothing
// behind: whatever ends the agent, the door or the VM ends it, and nobody has to clean up.
import { z } from 'zod';
import { defineHostCommand } from '../define.ts';
import { HostCommandFailed, NotFoundOnHost, Overloaded, StaleEpoch, WrongState } from '../errors.ts';
import { VmId } from '../ids.ts';
import { Epoch } from './shapes.ts';

/** `vnc` = screen, keyboard and mouse as RFB; `serial` = the first serial port. */
export const ConsoleKind = z.enum(['vnc', 'serial']);
export type ConsoleKind = z.infer<typeof ConsoleKind>;

/** Names the pipe of one session in its subjects: made by compute, told to the door and the host alone. */
export const ConsoleSessionId = z.string().regex(/^[0-9a-f]{32}$/);

/** What a serial console shows of the time before it was opened. */
export const HistoryBytes = z.int().min(0).max(1024 * 1024);

export const hostConsoleOpen = defineHostCommand('console.open', {
  summary: 'Serve one console session of a VM that runs, on subjects of its own; it waits a few seconds for the door, and leaves nothing behind', actor: 'vm', probe: 'read-only',
  input: z.strictObject({ vmId: VmId, epoch: Epoch, sessionId: ConsoleSessionId, kind: ConsoleKind, historyBytes: HistoryBytes }),
  reply: z.strictObject({}), errors: [NotFoundOnHost, StaleEpoch, WrongState, Overloaded, HostCommandFailed],
});

/** Subjects of a session's bytes. `in` = towards the guest, `out` = from it. Only gateways and this host may speak and listen there. */
export const consoleSubject = (hostId: string, sessionId: string, direction: 'in' | 'out'): string => `tok.v1.console.${hostId}.${sessionId}.${direction}`;
