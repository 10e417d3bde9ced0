// Starts tracing in a process, only when somebody takes the traces; without, the API's no-op costs nothing.
import { SpanStatusCode, context, propagation, trace } from '@opentelemetry/api';
import type { Attributes, Span } from '@opentelemetry/api';
import type { SpanExporter, TracerProvider } from '@opentelemetry/sdk-trace';

export interface TraceSettings {
  readonly service: string;
  /** Base URL of a collector that takes OTLP over HTTP. */
  readonly endpoint?: string | undefined;
  /** File for spans, one per line; used when there is no collector. */
  readonly file?: string | undefined;
}

let provider: TracerProvider | undefined;

/** Idempotent. True when traces are taken. */
export async function startTracing({ service, endpoint, file }: TraceSettings): Promise<boolean> {
  if (provider !== undefined) return true;
  const exporter = await exporterFor(endpoint, file);
  if (exporter === undefined) return false;
  const [{ BatchSpanProcessor, TracerProvider: Provider }, { resourceFromAttributes }, { AsyncLocalStorageContextManager }, { W3CTraceContextPropagator }] = await Promise.all([
    import('@opentelemetry/sdk-trace'),
    import('@opentelemetry/resources'),
    import('@opentelemetry/context-async-hooks'),
    import('@opentelemetry/core'),
  ]);
  provider = new Provider({
    resource: resourceFromAttributes({ 'service.namespace': 'tokamak', 'service.name': service, 'process.pid': process.pid }),
    spanProcessors: [new BatchSpanProcessor({ exporter, scheduledDelayMillis: 1_000, maxQueueSize: 4_096 })],
  });
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  trace.setGlobalTracerProvider(provider);
  return true;
}

async function exporterFor(endpoint: string | undefined, file: string | undefined): Promise<SpanExporter | undefined> {
  if (endpoint) {
    const { OTLPTraceExporter } = await import('@opentelemetry/exporter-trace-otlp-http');
    return new OTLPTraceExporter({ url: `${endpoint.replace(/\/+$/, '')}/v1/traces` });
  }
  if (file) {
    const { TraceFile } = await import('./trace-file.ts');
    return new TraceFile(file);
  }
  return undefined;
}

/** Sends what is still here and stops tracing. Never rejects: losing spans must not spoil a clean end. */
export async function stopTracing(): Promise<void> {
  const stopping = provider;
  provider = undefined;
  await stopping?.shutdown().catch((error: unknown) => { process.stderr.write(`traces were lost: ${String(error)}\n`); });
  trace.disable();
  context.disable();
  propagation.disable();
}

/** Runs `work` inside a span that ends with it and takes its error. */
export function inSpan<T>(name: string, attributes: Attributes, work: (span: Span) => Promise<T>): Promise<T> {
  return trace.getTracer('tokamak').startActiveSpan(name, { attributes }, async (span) => {
    try {
      return await work(span);
    } catch (error) {
      span.recordException(error instanceof Error ? error : String(error));
      span.setStatus({ code: SpanStatusCode.ERROR });
      throw error;
    } finally {
      span.end();
    }
  });
}
