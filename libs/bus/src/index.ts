// Requests, reports and events between processes, over NATS.
export * from './bus.client.ts';
export * from './context.ts';
export * from './deadline.ts';
export * from './handles.decorator.ts';
export * from './headers.ts';
export * from './limits.ts';
export * from './plan-draft.ts';
export * from './bus.server.ts';
export * from './connect.nats.ts';
export * from './host.server.ts';
export * from './streams.nats.ts';
export type { Tally } from './tally.ts';
export { parseBody } from './wire.ts';
export { bindSpan, openServerSpan, within } from './tracing.ts';
export { refusal } from './access.ts';
