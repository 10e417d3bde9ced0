// Requests, reports and events between processes, over NATS.
export * from './bus.client.ts';
export * from './context.ts';
export * from './deadline.ts';
export * from './handles.decorator.ts';
export * from './headers.ts';
export * from './limits.ts';
export * from './bus.server.ts';
export * from './connect.nats.ts';
export * from './host.server.ts';
export * from './streams.nats.ts';
export type { Tally } from './tally.ts';
export { parseBody } from './wire.ts';
export { bindSpan, openServerSpan, within } from './tracing.ts';
export { refusal } from './access.ts';
export { isDenial, isRecorded, noteRecorded } from './denial.ts';
export type { Denied } from './denial.ts';
export { openPipe } from './pipe.nats.ts';
export type { PipeEnds } from './pipe.nats.ts';
export type { Pipe, PipeLimits } from './pipe.ts';
export { Responder } from './responder.nats.ts';
export type { Endpoint, HeaderReader } from './endpoint.ts';
export type { BusAuthority } from './authority.nats.ts';
export { userRequests } from './nats-roles.ts';
export { CommandConsumer } from './commands.nats.ts';
export type { PublishedCommand, Verdict } from './commands.nats.ts';
import type { BusAuthority } from './authority.nats.ts';
/** Loads what signs credentials; nobody but auth pays for it. */
export const openBusAuthority = async (options: Parameters<typeof BusAuthority.open>[0]): Promise<BusAuthority> => (await import('./authority.nats.ts')).BusAuthority.open(options);
