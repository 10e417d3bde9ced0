// The form of a stream of events (WHATWG HTML, server-sent events): what is written for an event, a sign of life, a gap, an end.
import type { Fault } from '#kernel';
import type { LogEntry } from '#contracts';

/** `id` is the global number: a client that comes back names the last one it has. */
export const eventText = ({ globalSeq, name, text }: Pick<LogEntry, 'globalSeq' | 'name' | 'text'>): string => `id: ${globalSeq}\nevent: ${name}\ndata: ${text}\n\n`;

/** A comment, which clients ignore: the connection is alive. */
export const aliveText = ': alive\n\n';

export const retryText = (ms: number): string => `retry: ${ms}\n\n`;

/** Events behind the client's last one are kept no longer: the code, the first that is kept, and what to list instead. */
export const resetText = ({ code, detail, details }: Fault): string => `event: reset\ndata: ${JSON.stringify({ code, detail, ...details })}\n\n`;

/** The last words of the server; a client that may go on comes back by itself. */
export const endText = ({ code, detail }: Fault): string => `event: end\ndata: ${JSON.stringify({ code, detail })}\n\n`;

const position = /^\d{1,15}$/;

/** After which number to begin: as the header says, else as the query says; null = with what comes from now on. */
export function beginAfter(lastEventId: unknown, after: unknown): number | null {
  const text = typeof lastEventId === 'string' ? lastEventId : after;
  return typeof text === 'string' && position.test(text) ? Number(text) : null;
}

export const wantsStream = (accept: string | undefined): boolean => (accept ?? '').split(',').some((part) => part.split(';', 1)[0]!.trim() === 'text/event-stream');
