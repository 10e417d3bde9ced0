// Traces over the bus with OpenTelemetry's API alone: without an SDK the trace id still travels and is in every log line.
import { context, isSpanContextValid, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import type { Attributes, Context, Span, SpanContext } from '@opentelemetry/api';
import type { Fault } from '#kernel';
import { randomHex } from '#kernel';

const tracer = trace.getTracer('tokamak');
const form = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/;

export function parseTraceparent(text: string | undefined): SpanContext | undefined {
  const [, traceId, spanId, flags] = form.exec(text ?? '') ?? [];
  if (!traceId || !spanId || !flags) return undefined;
  const parsed: SpanContext = { traceId, spanId, traceFlags: parseInt(flags, 16) & 1, isRemote: true };
  return isSpanContextValid(parsed) ? parsed : undefined;
}

export const formatTraceparent = ({ traceId, spanId, traceFlags }: SpanContext): string => `00-${traceId}-${spanId}-${(traceFlags & 1).toString(16).padStart(2, '0')}`;

const newSpanContext = (traceId = randomHex(16)): SpanContext => ({ traceId, spanId: randomHex(8), traceFlags: 0 });

export interface OpenSpan {
  readonly span: Span;
  readonly traceId: string;
  readonly otel: Context;
  end(fault?: Fault): void;
}

const open = (name: string, kind: SpanKind, parent: SpanContext | undefined, attributes: Attributes): OpenSpan => {
  const from = trace.setSpanContext(ROOT_CONTEXT, parent ?? newSpanContext());
  // With no parent an SDK starts a trace of its own; without an SDK the made-up parent is the trace.
  const started = tracer.startSpan(name, { kind, attributes }, parent ? from : context.active());
  const span = isSpanContextValid(started.spanContext()) ? started : (trace.getSpan(from) ?? started);
  return {
    span,
    traceId: span.spanContext().traceId,
    otel: trace.setSpan(context.active(), span),
    end: (fault) => {
      if (fault) span.setStatus({ code: SpanStatusCode.ERROR, message: fault.code });
      span.end();
    },
  };
};

/** A span for one message taken, child of what its `traceparent` names. */
export const openServerSpan = (name: string, traceparent: string | undefined, attributes: Attributes): OpenSpan =>
  open(name, SpanKind.SERVER, parseTraceparent(traceparent), attributes);

/** A span for work that was asked for earlier, whoever gave the impulse to do it now: child of what `traceparent` names, of nothing where that is null. */
export const openWorkSpan = (name: string, traceparent: string | null, attributes: Attributes): OpenSpan =>
  context.with(ROOT_CONTEXT, () => open(name, SpanKind.INTERNAL, parseTraceparent(traceparent ?? undefined), attributes));

/** The `traceparent` of what is done within the span. */
export const traceparentIn = ({ span }: OpenSpan): string => formatTraceparent(span.spanContext());

/** Runs `work` with the span as the active one. */
export const within = <T>(opened: OpenSpan, work: () => T): T => context.with(opened.otel, work);

const spans = new WeakMap<object, SpanContext>();
/** Lets calls made with this bus context become children of its span. */
export const bindSpan = (busContext: object, opened: OpenSpan): void => void spans.set(busContext, opened.span.spanContext());

/** The `traceparent` of what begins in a request and goes on behind it. */
export const traceparentOf = (busContext: { readonly traceId: string }): string => formatTraceparent(spans.get(busContext) ?? newSpanContext(busContext.traceId));

/** A span for one request sent: child of what `traceparent` names, of the active span, or of the one that came with the bus context. */
export function openClientSpan(name: string, { traceparent, ctx }: { traceparent?: string; ctx?: { traceId: string } }, attributes: Attributes): OpenSpan {
  const parent = parseTraceparent(traceparent) ?? trace.getSpanContext(context.active()) ?? (ctx && (spans.get(ctx) ?? newSpanContext(ctx.traceId)));
  return open(name, SpanKind.CLIENT, parent, attributes);
}
