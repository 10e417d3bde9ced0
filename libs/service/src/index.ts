// The one way a service starts, and what its providers can ask for.
export * from './tokens.ts';
export type { DatabaseParts, DatabaseService, Door, Parts, PlainService, Reconciler, RunningService, ServiceSchema, TaskParts, TaskService } from './definition.ts';
export { Lifecycle } from './lifecycle.ts';
export { foldersMeant, folderStands } from './folders.ts';
export { runPeriodically } from './periodic.ts';
export { masterKey, readSecret, writeSecretOnce } from './secret-file.store.ts';
export { JwtActorVerifier } from './actor-verifier.ts';
export type { ActorKey, ActorKeySource } from './actor-verifier.ts';
export type { Surroundings } from './start-service.ts';
export { startService } from './start-service.ts';
export type * from './drift/source.ts';
