// QMP and guest-agent messages as bytes: one JSON object per line, with a limit on the line, so that a process that
// was taken over cannot fill the agent's memory. Nothing here is trusted beyond being JSON.

export type Message =
  | { readonly kind: 'greeting' }
  | { readonly kind: 'return'; readonly id: unknown; readonly value: unknown }
  | { readonly kind: 'error'; readonly id: unknown; readonly class: string; readonly text: string }
  | { readonly kind: 'event'; readonly event: QmpEvent };

export interface QmpEvent { readonly name: string; readonly data: Readonly<Record<string, unknown>> }

/** The peer does not speak the protocol; the connection is of no more use. */
export class WireError extends Error {
  override readonly name = 'WireError';
}

export const lineLimitBytes = 4 * 1024 * 1024;

/** Cuts a stream into lines. Throws WireError when a line grows beyond `limitBytes`. */
export class LineSplitter {
  private parts: Buffer[] = [];
  private waiting = 0;

  constructor(private readonly limitBytes: number = lineLimitBytes) {}

  push(chunk: Buffer): string[] {
    const lines: string[] = [];
    let start = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
      this.keep(chunk.subarray(start, end));
      lines.push(Buffer.concat(this.parts).toString('utf8'));
      this.parts = [];
      this.waiting = 0;
      start = end + 1;
    }
    this.keep(chunk.subarray(start));
    return lines;
  }

  private keep(part: Buffer): void {
    this.waiting += part.length;
    if (this.waiting > this.limitBytes) throw new WireError(`a line is longer than ${this.limitBytes} bytes`);
    if (part.length > 0) this.parts.push(part);
  }
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);

/** The message in a line; null for an empty line. Throws WireError on anything else. */
export function parseLine(line: string): Message | null {
  const text = line.replace(/^[\u{fffd}\s]+/u, '').trimEnd(); // the guest agent marks a resync with byte 0xff
  if (text === '') return null;
  const value = parsed(text);
  if (!isRecord(value)) throw new WireError('a line is not a JSON object');
  if ('QMP' in value) return { kind: 'greeting' };
  if (typeof value['event'] === 'string') return { kind: 'event', event: { name: value['event'], data: isRecord(value['data']) ? value['data'] : {} } };
  if ('return' in value) return { kind: 'return', id: value['id'], value: value['return'] };
  if (isRecord(value['error'])) {
    const { class: kind, desc } = value['error'];
    return { kind: 'error', id: value['id'], class: typeof kind === 'string' ? kind : 'GenericError', text: typeof desc === 'string' ? desc : '' };
  }
  throw new WireError('a line is neither greeting, event, return nor error');
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new WireError('a line is not JSON', { cause: error });
  }
}
