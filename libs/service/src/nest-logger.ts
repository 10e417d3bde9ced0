// Lets Nest write into the log of the process, in its form. Nest's tales of every module it starts become `debug`.
import type { LoggerService } from '@nestjs/common';
import type { Logger } from '#telemetry';

type Level = 'debug' | 'trace' | 'warn' | 'error' | 'fatal';

export function nestLogger(log: Logger): LoggerService {
  const write = (level: Level) => (message: unknown, ...more: unknown[]): void => {
    // Nest puts the context last, and for errors the stack before it.
    const context = more.at(-1);
    const fields = { ...(typeof context === 'string' ? { context } : {}), ...(message instanceof Error ? { err: message } : {}) };
    const stack = level === 'error' && more.length > 1 && typeof more[0] === 'string' ? { stack: more[0] } : {};
    log[level]({ ...fields, ...stack }, message instanceof Error ? message.message : String(message));
  };
  return { log: write('debug'), debug: write('debug'), verbose: write('trace'), warn: write('warn'), error: write('error'), fatal: write('fatal') };
}
