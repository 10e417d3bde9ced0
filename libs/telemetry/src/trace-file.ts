// Writes finished spans to a file, one JSON object per line, for machines without a collector. Several processes may
// append to one file: each batch is one write, and the system keeps appends whole.
import { appendFile } from 'node:fs';
import { ExportResultCode } from '@opentelemetry/core';
import type { HrTime } from '@opentelemetry/api';
import type { ReadableSpan, SpanExporter } from '@opentelemetry/sdk-trace';

type ExportDone = Parameters<SpanExporter['export']>[1];

const ms = ([seconds, nanoseconds]: HrTime): number => seconds * 1000 + nanoseconds / 1e6;
const kinds = ['internal', 'server', 'client', 'producer', 'consumer'] as const;
const outcomes = ['unset', 'ok', 'error'] as const;

/** One line of the file. */
export const spanLine = (span: ReadableSpan): string => `${JSON.stringify({
  service: span.resource.attributes['service.name'],
  traceId: span.spanContext().traceId,
  spanId: span.spanContext().spanId,
  parentSpanId: span.parentSpanContext?.spanId ?? null,
  name: span.name,
  kind: kinds[span.kind],
  startedAt: new Date(ms(span.startTime)).toISOString(),
  durationMs: ms(span.duration),
  status: outcomes[span.status.code],
  ...(span.status.message === undefined ? {} : { message: span.status.message }),
  attributes: span.attributes,
})}\n`;

export class TraceFile implements SpanExporter {
  private last: Promise<void> = Promise.resolve();

  constructor(private readonly path: string) {}

  export(spans: ReadableSpan[], done: ExportDone): void {
    this.last = new Promise((resolve) => {
      appendFile(this.path, spans.map(spanLine).join(''), { mode: 0o640 }, (error) => {
        done(error === null ? { code: ExportResultCode.SUCCESS } : { code: ExportResultCode.FAILED, error });
        resolve();
      });
    });
  }

  forceFlush(): Promise<void> {
    return this.last;
  }

  shutdown(): Promise<void> {
    return this.last;
  }
}
