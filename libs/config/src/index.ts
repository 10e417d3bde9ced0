// Settings of the processes: schemas, reader, reference.
export { ConfigError, configExitCode, readConfig, unknownVariables } from './read.ts';
export type { ConfigSchema, Environment } from './read.ts';
export * from './schemas.ts';
export { version } from './version.ts';
export type { IdRange } from './values.ts';
export { configReference, settings } from './reference.ts';
export type { Setting } from './reference.ts';
