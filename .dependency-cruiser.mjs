// The import rules of ARCHITECTURE.md, checked by a machine.
const services = 'auth|compute|network|storage|templates|scheduler|ha|monitoring|gateway|host-agent|guard|web';
export default {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } } },
    { name: 'services-know-each-other-only-through-contracts', severity: 'error', from: { path: `^services/(${services})/` }, to: { path: '^services/', pathNot: '^services/$1/' } },
    { name: 'libs-do-not-know-services', severity: 'error', from: { path: '^libs/' }, to: { path: '^(services|tools|test)/' } },
    { name: 'kernel-knows-nothing', severity: 'error', from: { path: '^libs/kernel/' }, to: { path: '^libs/', pathNot: '^libs/kernel/' } },
    { name: 'contracts-know-the-kernel-alone', severity: 'error', from: { path: '^libs/contracts/' }, to: { path: '^libs/', pathNot: '^libs/(contracts|kernel)/' } },
    { name: 'libs-are-imported-by-their-name', severity: 'error', from: { path: '^services/' }, to: { path: '^libs/[^/]+/src/(?!index\\.ts$|testing/|openapi\\.ts$)', dependencyTypes: ['local'] } },
    { name: 'pure-files-stay-pure', comment: 'a noun’s model imports contracts, kernel and other pure files only', severity: 'error', from: { path: '^services/[^/]+/src/([^/]+)/\\1\\.ts$' }, to: { path: '^(libs/(?!contracts|kernel)|node_modules/(typeorm|@nestjs|bullmq|ioredis|@nats-io))' } },
    { name: 'only-tests-import-test-aids', severity: 'error', from: { pathNot: '\\.(spec|it|e2e|fault)\\.ts$|^test/|^libs/testing/|/testing/|\\.(fixture|testing)\\.ts$' }, to: { path: '^libs/testing/|^libs/[^/]+/src/testing/' } },
    { name: 'no-suspect-names', severity: 'error', from: {}, to: { path: '^(libs|services|tools|test)/.*(utils?|helpers?|common|managers?|base)\\.[cm]?tsx?$' } },
    { name: 'resolvable', severity: 'error', from: {}, to: { couldNotResolve: true } },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^dist/' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['source', 'import', 'node', 'default'], extensions: ['.ts', '.mjs', '.js', '.json'] },
  },
};
