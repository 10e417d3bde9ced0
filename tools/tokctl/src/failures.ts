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
  readonly details?: Readonly<Record<string, unknown>>;
  readonly traceId?: string;
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

const advice: Readonly<Record<string, string>> = {
  UNAUTHENTICATED: 'Sign in: tokctl login',
  TOKEN_EXPIRED: 'Sign in again: tokctl login',
  PASSWORD_CHANGE_REQUIRED: 'Set a new password: tokctl passwd',
  IDEMPOTENCY_KEY_REUSED: 'Leave --idempotency-key away, or give the command it was made for.',
  VERSION_CONFLICT: 'Look at the object as it is now, then repeat the change.',
  IN_USE: 'Remove what uses it first.',
  TASK_NOT_CANCELLABLE: 'See how far it is: tokctl task watch',
  NAME_TAKEN: 'Choose another name.',
};
const retryAdvice = { same: 'The same command may succeed later.', changed: undefined, no: undefined } as const;

const isIssue = (value: unknown): value is { path: string; message: string } => typeof value === 'object' && value !== null && 'path' in value && 'message' in value;

/** Code and detail first, then the members that are wrong, what to do, and the trace for whoever runs the platform. */
export function problemLines(problem: Problem, status: number, flagOf: (path: string) => string | undefined = () => undefined): string[] {
  const { code, title, detail, details = {}, traceId } = problem;
  const issues = Array.isArray(details['issues']) ? details['issues'].filter(isIssue) : [];
  const refusals = Array.isArray(details['refusals']) ? (details['refusals'] as { hostName?: unknown; text?: unknown }[]) : [];
  const users = Array.isArray(details['by']) ? (details['by'] as { noun?: unknown; id?: unknown }[]) : [];
  const taskId = details['taskId'];
  const todo = advice[code ?? ''] ?? retryAdvice[allErrors.get(code ?? '')?.retry ?? 'no'];
  return [
    `${code ?? `HTTP ${status}`}: ${detail ?? title ?? 'the server gave no reason'}`,
    ...issues.map(({ path, message }) => `  ${flagOf(path) ?? (path || 'request')}: ${message}`),
    ...refusals.map(({ hostName, text }) => `  ${String(hostName)}: ${String(text)}`),
    ...users.map(({ noun, id }) => `  used by ${String(noun)} ${String(id)}`),
    ...(typeof taskId === 'string' ? [`  held by task ${taskId}: tokctl task watch ${taskId}`] : []),
    ...(todo === undefined ? [] : [todo]),
    ...(traceId === undefined ? [] : [`trace ${traceId}`]),
  ].map(visible);
}
