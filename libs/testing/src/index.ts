// What tests of several parts share: private servers, schemas, and the proofs that any task kind can be put through.
export * from '../../bus/src/nats.fixture.ts';
export { writeNatsSetup } from '../../bus/src/nats-accounts.ts';
export * from '../../database/src/testing/test-schema.store.ts';
export * from '../../tasks/src/testing/index.ts';
export { DriftKeeper, type DriftSettings } from '../../service/src/drift/drift.keeper.ts';
export { DriftCommands } from '../../service/src/drift/drift.commands.ts';
export { taskDrift } from '../../service/src/drift/task.drift.ts';
export { fromSource } from './from-source.ts';
export { lit, RfbClient } from './rfb.ts';
export { until } from './until.ts';
export { childTaskId } from '../../tasks/src/keys.ts';
export { defaultTaskSettings } from '../../tasks/src/settings.ts';
