// What a process tells about itself: logs, traces, numbers, health.
export { createLogger } from './logger.ts';
export type { Logger, LoggerOptions } from './logger.ts';
export { redact, redactText, redacted } from './redact.ts';
export { createMetrics, prometheus } from './metrics.ts';
export type { BusNumbers, Metrics } from './metrics.ts';
export { Health } from './health.ts';
export type { Check, CheckOptions, CheckReport, Readiness } from './health.ts';
export { bindSpan, formatTraceparent, openClientSpan, openServerSpan, openWorkSpan, parseTraceparent, traceparentIn, traceparentOf, within } from './spans.ts';
export { inSpan, startTracing, stopTracing } from './tracing.ts';
export type { TraceSettings } from './tracing.ts';
