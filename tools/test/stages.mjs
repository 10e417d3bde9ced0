// The stages of `npm test`, in their order, as a table: what each proves, what it needs, how long it may take at most,
// and the commands that prove it.
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { REPO } from '../lab.d/layout.mjs';
import { succeeds } from '../lab.d/run.mjs';
import { noteBeside } from './beside-the-code.mjs';
import { writeFaultReport, writeMatrixReport } from './fault-report.mjs';
import { isRoot } from './prepare.mjs';
import { beginProofs, writeProofReport } from './proof-report.mjs';
import { runToEnd } from './run-to-end.mjs';
import { fromJest, fromNodeTest, oneFor, slowest, sum } from './tally.mjs';

/** So many files and so many tests of a stage are named as the slowest: the whole is to stay within 20 minutes. */
const MOST_SLOW = 12;
const minutes = (count) => count * 60_000;
/** Asked for by `--matrix`: one file, for as long as it takes. */
const wholeMatrix = () => JSON.parse(process.env.TOK_MATRIX ?? '{}').mode === 'whole';
const jest = (project, options, after) => (say) => runJest(project, options, say, after);
/** Notes what the proofs of the task kinds come to. */
const proven = (command) => (say) => {
  beginProofs();
  return command(say);
};

export const stages = {
  lint: { what: 'types, lint, import rules, format', mostMs: minutes(5), commands: [() => checkLint()] },
  docs: { what: 'generated references are up to date', mostMs: minutes(1), commands: [() => checkDocs()] },
  unit: { what: 'tests that need nothing', mostMs: minutes(4), commands: [jest('unit', ['--maxWorkers=2'], (result) => { noteBeside('unit', result); }), () => runNodeTests(['tools/lab.d', 'tools/guest', 'tools/test'])] },
  integration: { what: 'tests against real NATS, MariaDB and Redis', mostMs: minutes(20), commands: [proven(jest('integration', ['--maxWorkers=3'], (result, say) => { noteBeside('integration', result); writeProofReport(say); }))] },
  e2e: { what: 'a whole pool with real QEMU guests', needs: namespaces, mostMs: minutes(22), commands: [jest('e2e', ['--runInBand'])] },
  faults: { what: 'parts of that pool killed, stopped and cut off', needs: namespaces, mostMs: minutes(24), commands: [(say) => (wholeMatrix() ? jest('faults', ['--runInBand', 'test/faults/matrix.fault.ts'], (_, tell) => { writeMatrixReport(tell); })(say) : jest('faults', ['--runInBand'], writeFaultReport)(say))] },
};
export const stageNames = Object.keys(stages);

/** Resolves with { passed, failed, skipped, failures, skips }. */
export async function runStage(name, say) {
  const { needs, commands } = stages[name];
  const lacking = await needs?.();
  if (lacking) return skipped(name, lacking);
  const results = [];
  for (const command of commands) results.push(await command(say));
  return sum(results);
}

/** Why no simulated hosts can be made here, or undefined. */
async function namespaces() {
  if (!isRoot()) return 'needs root, for network namespaces';
  if (!(await succeeds(['unshare', '--net', 'true']))) return 'needs the right to make network namespaces (CAP_SYS_ADMIN)';
  return undefined;
}

/** A stage that cannot run here counts each of its files as skipped. */
function skipped(name, why) {
  const files = filesIn(join(REPO, 'test', name), name === 'faults' ? '.fault.ts' : '.e2e.ts');
  return { passed: 0, failed: 0, skipped: files.length, failures: [], skips: files.map((file) => `${file.slice(REPO.length + 1)}: ${why}`) };
}

function filesIn(dir, ending) {
  if (!existsSync(dir)) return [];
  return readdirSync(dir, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? filesIn(join(dir, entry.name), ending) : entry.name.endsWith(ending) ? [join(dir, entry.name)] : []));
}

async function runJest(project, options, say, after) {
  const scratch = mkdtempSync(join(tmpdir(), 'tok-test-'));
  const outputFile = join(scratch, 'result.json');
  try {
    const code = await runToEnd(['node', '--experimental-vm-modules', '--disable-warning=ExperimentalWarning', join(REPO, 'node_modules/jest/bin/jest.js'), '--selectProjects', project, ...options, '--json', '--outputFile', outputFile], { mostMs: project === 'faults' && wholeMatrix() ? minutes(48 * 60) : stages[project].mostMs, quietOutput: true });
    if (!existsSync(outputFile)) return oneFor(`jest ${project}`, false, `ended with ${code} and without a result`);
    const result = JSON.parse(readFileSync(outputFile, 'utf8'));
    after?.(result, say);
    say([`what took longest of ${project}:`, ...slowest(result, MOST_SLOW)].join('\n'));
    const tally = fromJest(result);
    return code === 0 || tally.failed > 0 ? tally : sum([tally, oneFor(`jest ${project}`, false, `ended with ${code}`)]);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

async function runNodeTests(dirs) {
  const files = dirs.flatMap((dir) => filesIn(join(REPO, dir), '.test.mjs'));
  const scratch = mkdtempSync(join(tmpdir(), 'tok-test-'));
  const tap = join(scratch, 'result.tap');
  try {
    const code = await runToEnd(['node', '--test', '--test-reporter=spec', '--test-reporter-destination=stdout', '--test-reporter=tap', `--test-reporter-destination=${tap}`, ...files], { mostMs: minutes(3) });
    const tally = fromNodeTest(readFileSync(tap, 'utf8'));
    return code === 0 || tally.failed > 0 ? tally : sum([tally, oneFor('node --test', false, `ended with ${code}`)]);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

async function check(what, argv, mostMs) {
  const code = await runToEnd(argv, { mostMs });
  return oneFor(what, code === 0, `ended with ${code}`);
}

/** What `npm run lint` runs one after another: the rules take as long on one core as all else on the other. */
async function checkLint() {
  const oneByOne = async (names) => {
    const results = [];
    for (const name of names) results.push(await check(`npm run ${name}`, ['npm', 'run', '--silent', name], stages.lint.mostMs));
    return results;
  };
  return sum((await Promise.all([oneByOne(['lint:rules']), oneByOne(['types', 'lint:imports', 'lint:format'])])).flat());
}

function checkDocs() {
  const generator = join(REPO, 'tools/generate/main.mjs');
  return check('generated references', ['node', generator, '--check'], stages.docs.mostMs);
}
