export * from './result.ts';
export * from './id.ts';
export * from './canonical-json.ts';
export * from './clock.ts';
export * from './size-text.ts';
export * from './hash-chain.ts';
export * from './derive.ts';
export * from './all-ended.ts';
