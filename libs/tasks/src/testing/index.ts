// Aids for tests of tasks: the proofs that any kind can be put through, and a small world to do it in.
export * from './put-through.ts';
export * from './scene.ts';
export * from './own-servers.ts';
