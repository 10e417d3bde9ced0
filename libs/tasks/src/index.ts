// Durable tasks, idempotent commands, the outbox and its consumers.
export { tasksMigrations } from '#database';
export * from './kind.ts';
export * from './fault.ts';
export * from './task.engine.ts';
export * from './command.store.ts';
export * from './outbox.store.ts';
export { auditDenial, auditMutation, deedId, emitFacts } from './audit/audit.store.ts';
export type { Denial, Mutation } from './audit/audit.store.ts';
export * from './audit/denials.ts';
export * from './outbox.relay.ts';
export { holdLease, releaseLease } from './lease.store.ts';
export type { Lease } from './lease.store.ts';
export { processName } from './process-name.proc.ts';
export * from './events.consumer.ts';
export * from './task.handlers.ts';
export { HELD_LEASE_MS, holdsOf } from './hold.ts';
export type { TasksKept } from './retention.store.ts';
export type { StartTask } from './start.store.ts';
