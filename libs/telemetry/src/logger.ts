// The log of a process: JSON lines on standard output, with the ids of the active trace and without secrets.
import { isSpanContextValid, trace } from '@opentelemetry/api';
import { pino } from 'pino';
import type { DestinationStream, Logger as PinoLogger } from 'pino';
import { redactMembers, redactText } from './redact.ts';

export type Logger = PinoLogger;
export interface LoggerOptions {
  /** Least severe level written; `info` unless told. */
  readonly level?: string;
  /** Where lines go; standard output unless told. */
  readonly destination?: DestinationStream;
}

/** A logger whose lines carry `service: name`. */
export function createLogger(name: string, options: LoggerOptions = {}): Logger {
  const settings = {
    level: options.level ?? 'info',
    base: { service: name, pid: process.pid },
    timestamp: (): string => `,"at":"${new Date().toISOString()}"`,
    formatters: {
      level: (label: string) => ({ level: label }),
      bindings: redactMembers,
      log: redactMembers,
    },
    // redactMembers has made a plain object of it already.
    serializers: { err: (err: unknown) => err },
    mixin: traceIds,
    hooks: { streamWrite: redactText },
  };
  return options.destination === undefined ? pino(settings) : pino(settings, options.destination);
}

function traceIds(): Record<string, string> {
  const span = trace.getActiveSpan()?.spanContext();
  return span !== undefined && isSpanContextValid(span) ? { traceId: span.traceId, spanId: span.spanId } : {};
}
