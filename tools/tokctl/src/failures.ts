// Everything that can go wrong as one type that knows its exit status and the text a person reads.
import { allErrors } from '#contracts';
import { exit, exitCodeOf } from './exit-codes.ts';
import type { ExitCode } from './exit-codes.ts';
import { visible } from './visible.ts';

/** Ends the command: `exitCode` for scripts, `lines` for people. */
export class Failure extends Error {
  readonly exitCode: ExitCode;
  readonly lines: readonly string[];

  constructor(exitCode: ExitCode, ...lines: readonly string[]) {
    super(lines.join('\n'));
    this.name = 'Failure';
    this.exitCode = exitCode;
    this.lines = lines;
  }
}

export const usageFailure = (...lines: readonly string[]): Failure => new Failure(exit.usage, ...lines);

/** RFC 9457 as the door writes it; every member may be missing, because a proxy in between may answer too. */
export interface Problem {
  readonly code?: string;
  readonly title?: string;
  readonly detail?: string;
  readonly details?: Readonly<Record<string, unknown>> | undefined;
  readonly traceId?: string | undefined;
}

/** A refusal of the platform. */
export class Refused extends Failure {
  readonly problem: Problem;
  readonly status: number;

  constructor(problem: Problem, status: number, flagOf?: (path: string) => string | undefined) {
    super(exitCodeOf(problem.code, status), ...problemLines(problem, status, flagOf));
    this.problem = problem;
    this.status = status;
  }
}

/** What to do next, by code. Those without a line here are worth sending again; the tests let no other code be without. */
export const advice: Readonly<Record<string, string>> = {
  INVALID_ARGUMENT: 'Mend the values named above; the command with --help says what it takes.',
  BAD_JSON: 'Mend the JSON that was given.',
  PAYLOAD_TOO_LARGE: 'Send less at once; images go by tokctl image upload.',
  IDEMPOTENCY_KEY_REUSED: 'Leave --idempotency-key away, or give the command it was made for.',
  DRY_RUN_UNSUPPORTED: 'Send it without --dry-run, or look at what it would change: tokctl get',
  UNKNOWN_OPERATION: 'The platform may be older than this command line; take the one of its release.',
  BAD_REPLY_SUBJECT: 'The platform may be of another release than this command line; take the one of its release.',
  IMAGE_REFUSED: 'Give another image: qcow2 or raw, whole, without a backing file.',
  METHOD_NOT_ALLOWED: 'Use one of the methods that the path takes; the REST reference lists them.',
  UNSUPPORTED_MEDIA_TYPE: 'Send the body as JSON, the bytes of an image by tokctl image upload.',
  HEADERS_TOO_LARGE: 'Send shorter headers; the token is the longest: tokctl login',
  UNAUTHENTICATED: 'Sign in: tokctl login',
  BAD_CREDENTIALS: 'Try again: tokctl login; whoever may change users can set a new password: tokctl user set-password',
  TOKEN_EXPIRED: 'Sign in again: tokctl login',
  PASSWORD_CHANGE_REQUIRED: 'Set a new password: tokctl passwd',
  TICKET_INVALID: 'Ask for another ticket: tokctl console-ticket create',
  LOCKED_OUT: 'Wait, then sign in again: tokctl login',
  PERMISSION_DENIED: 'Ask whoever runs the platform for the right; what you have: tokctl whoami',
  RATE_LIMITED: 'Wait a moment, then send the same command again.',
  NOT_FOUND: 'See what there is with the list command of its kind, or look everywhere: tokctl get',
  NAME_TAKEN: 'Choose another name.',
  ALREADY_EXISTS: 'Look at what is there: tokctl get',
  VERSION_CONFLICT: 'Look at the object as it is now, then repeat the change.',
  IN_USE: 'Remove what uses it first.',
  CONFIRMATION_NEEDED: 'If that is meant, give the command again with the option named above.',
  WRONG_STATE: 'Bring it into a state that allows this first; tokctl get shows its state.',
  EVENTS_GONE: 'List the objects as they are now (tokctl get), then follow the log from now on',
  ADDRESS_REFUSED: 'Give an address that is public, or have its network allowed (TOK_WEBHOOK_ALLOW of monitoring).',
  RECEIVER_FAILED: 'See what the receiver answered: tokctl webhook-delivery list',
  FEED_ENDED: 'Make another one behind the last event that you have: tokctl event-feed create --after',
  TASK_NOT_CANCELLABLE: 'See how far it is: tokctl task watch',
  HOST_UNREACHABLE: 'See what is known of the host: tokctl ha hosts',
  HOST_NOT_CONNECTED: 'Start the agent on the host; until it has joined it takes nothing: tokctl host list',
  STALE_EPOCH: 'Somebody else started the VM meanwhile: tokctl vm get',
  COMMAND_CANCELLED: 'Send the command again if it is still wanted.',
  QEMU_FAILED: 'The reason above is what QEMU said; change the hardware by tokctl vm modify and start it again.',
  DEVICE_HELD: 'Let the guest let go of it (unmount it there), or stop the VM first: tokctl vm stop',
  DEVICE_REFUSED: 'Make the change while the VM is stopped: tokctl vm stop',
  NO_FREE_SLOT: 'Make the change while the VM is stopped: tokctl vm stop',
  NOT_FOUND_ON_HOST: 'The host may have lost it; see what it says: tokctl host get',
  NO_CAPACITY: 'Free some capacity or ask for less; what each host has left: tokctl capacity list',
  DATASTORE_FULL: 'Delete what is not needed, or take another datastore: tokctl datastore list',
  NO_FREE_ADDRESS: 'Delete ports that are not needed: tokctl port list; or make another subnet: tokctl subnet create',
  ADDRESS_TAKEN: 'Give another address, or none; who has it: tokctl port list',
  INTERNAL: 'Give the trace to whoever runs the platform; the log of the service has the cause under it.',
};
const retryAdvice = { same: 'The same command may succeed later.', changed: undefined, no: undefined } as const;

/** The line that says what to do about a code, if there is one. */
export const nextStepFor = (code: string | undefined): string | undefined => advice[code ?? ''] ?? retryAdvice[allErrors.get(code ?? '')?.retry ?? 'no'];

const isIssue = (value: unknown): value is { path: string; message: string } => typeof value === 'object' && value !== null && 'path' in value && 'message' in value;

/** Code and detail first, then the members that are wrong, what to do, and the trace for whoever runs the platform. */
export function problemLines(problem: Problem, status: number, flagOf: (path: string) => string | undefined = () => undefined): string[] {
  const { code, title, detail, details = {}, traceId } = problem;
  const issues = Array.isArray(details['issues']) ? details['issues'].filter(isIssue) : [];
  const refusals = Array.isArray(details['refusals']) ? (details['refusals'] as { hostName?: unknown; text?: unknown }[]) : [];
  const users = Array.isArray(details['by']) ? (details['by'] as { noun?: unknown; id?: unknown }[]) : [];
  const taskId = details['taskId'];
  const { confirm } = details;
  const todo = nextStepFor(code);
  return [
    `${code ?? `HTTP ${status}`}: ${detail ?? title ?? 'the server gave no reason'}`,
    ...issues.map(({ path, message }) => `  ${flagOf(path) ?? (path || 'request')}: ${message}`),
    ...refusals.map(({ hostName, text }) => `  ${String(hostName)}: ${String(text)}`),
    ...users.map(({ noun, id }) => `  used by ${String(noun)} ${String(id)}`),
    ...(typeof taskId === 'string' ? [`  held by task ${taskId}: tokctl task watch ${taskId}`] : []),
    ...(typeof confirm === 'string' ? [`  confirm it: ${flagOf(confirm) ?? confirm}`] : []),
    ...(todo === undefined ? [] : [todo]),
    ...(traceId === undefined ? [] : [`trace ${traceId}`]),
  ].map(visible);
}
