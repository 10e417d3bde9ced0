// What QEMU's events and run states mean for a VM, as tables.
import type { QmpEvent } from '../qmp/wire.ts';
import type { Exit, VmInput } from './vm.ts';

const text = (value: unknown): string => (typeof value === 'string' ? value : '');

/** Reasons of SHUTDOWN that leave QEMU waiting to be ended. */
const guestReasons: Readonly<Record<string, Exit>> = { 'guest-shutdown': 'guest-shutdown', 'guest-reset': 'guest-reset', 'guest-panic': 'guest-panic' };
/** Reasons of SHUTDOWN after which QEMU ends by itself. */
const hostReasons: Readonly<Record<string, Exit>> = { 'host-signal': 'killed', 'host-qmp-quit': 'requested', 'host-ui': 'requested' };

/** The input that an event is, if it is one for the VM's state. */
export function inputOfEvent({ name, data }: QmpEvent): VmInput | null {
  switch (name) {
    case 'SHUTDOWN': {
      const reason = guestReasons[text(data['reason'])];
      return reason === undefined ? null : { type: 'guest-ended', reason };
    }
    case 'GUEST_PANICKED': return { type: 'guest-ended', reason: 'guest-panic' };
    case 'WATCHDOG': return text(data['action']) === 'pause' ? { type: 'guest-ended', reason: 'watchdog' } : null;
    case 'BLOCK_IO_ERROR': return text(data['action']) === 'stop' ? { type: 'paused', detail: `I/O error on ${text(data['device']) || text(data['node-name'])}` } : null;
    case 'STOP': return { type: 'paused', detail: null };
    case 'RESUME': return { type: 'resumed' };
    default: return null;
  }
}

/** Why QEMU says that it is about to end by itself. */
export const hostReasonOf = ({ name, data }: QmpEvent): Exit | null => (name === 'SHUTDOWN' ? hostReasons[text(data['reason'])] ?? null : null);

/** Run states (query-status) in which the guest has ended and QEMU waits. */
const endedStates: Readonly<Record<string, Exit>> = { shutdown: 'guest-shutdown', 'guest-panicked': 'guest-panic', watchdog: 'watchdog' };
export const endOfStatus = (status: string): Exit | null => endedStates[status] ?? null;

const runningStates = new Set(['running', 'inmigrate', 'postmigrate', 'finish-migrate']);
export const isRunningStatus = (status: string): boolean => runningStates.has(status);

/** Whether the guest agent's port was opened or closed; null when the event is about something else. */
export const portChange = ({ name, data }: QmpEvent): boolean | null =>
  name === 'VSERPORT_CHANGE' && data['id'] === 'guest-agent-port' ? data['open'] === true : null;
