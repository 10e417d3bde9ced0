export * from './shapes.ts';
export * from './guest-memory.ts';
export * from './commands.ts';
export * from './reports.ts';
export * from './vm-adjust.ts';
export * from './vm-power.ts';
export * from './console.ts';
export * from './drift.ts';
