// One jest configuration, six projects: how a test is named says what it needs (nothing, servers, a lab).
const shared = {
  rootDir: import.meta.dirname,
  testEnvironment: 'node',
  testEnvironmentOptions: { customExportConditions: ['source', 'node', 'node-addons'] },
  extensionsToTreatAsEsm: ['.ts'],
  transform: { '^.+\\.ts$': ['@swc/jest', { configFile: `${import.meta.dirname}/.swcrc` }] },
  modulePathIgnorePatterns: ['<rootDir>/dist', '<rootDir>/.lab'],
};
export default {
  projects: [
    { ...shared, displayName: 'unit', testMatch: ['<rootDir>/{libs,services,tools}/**/*.spec.ts', '<rootDir>/test/contract/**/*.spec.ts'] },
    { ...shared, displayName: 'integration', testMatch: ['<rootDir>/{libs,services,test/integration}/**/*.it.ts'], setupFilesAfterEnv: ['<rootDir>/test/integration/file-setup.mjs'], globalSetup: '<rootDir>/test/integration/setup.mjs', globalTeardown: '<rootDir>/test/integration/teardown.mjs' },
    { ...shared, displayName: 'e2e', testMatch: ['<rootDir>/test/e2e/**/*.e2e.ts'], globalSetup: '<rootDir>/test/e2e/setup.mjs', globalTeardown: '<rootDir>/test/e2e/teardown.mjs' },
    { ...shared, displayName: 'faults', testMatch: ['<rootDir>/test/faults/**/*.fault.ts'], globalSetup: '<rootDir>/test/e2e/setup.mjs', globalTeardown: '<rootDir>/test/e2e/teardown.mjs' },
    { ...shared, displayName: 'churn', testMatch: ['<rootDir>/test/chaos/**/*.churn.ts'], globalSetup: '<rootDir>/test/e2e/setup.mjs', globalTeardown: '<rootDir>/test/e2e/teardown.mjs' },
    { ...shared, displayName: 'chaos', testMatch: ['<rootDir>/test/chaos/**/*.chaos.ts'], globalSetup: '<rootDir>/test/e2e/setup.mjs', globalTeardown: '<rootDir>/test/e2e/teardown.mjs' },
  ],
};
