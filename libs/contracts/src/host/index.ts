export * from './shapes.ts';
export * from './commands.ts';
export * from './reports.ts';
