// Counts of tests as values: { passed, failed, skipped, failures, skips }. Every source of tests becomes one, and a
// command that fails without naming a test counts as one failure, so that nothing fails silently.

const MOST_TEXT = 300;
const MOST_LINES = 12;

export function sum(parts) {
  const add = (name) => parts.reduce((total, part) => total + part[name], 0);
  return { passed: add('passed'), failed: add('failed'), skipped: add('skipped'), failures: parts.flatMap((part) => part.failures), skips: parts.flatMap((part) => part.skips) };
}

/** A check that is no test suite: it passes or fails as a whole. */
export const oneFor = (what, passed, why) => ({ passed: passed ? 1 : 0, failed: passed ? 0 : 1, skipped: 0, failures: passed ? [] : [`${what} ${why}`], skips: [] });

/** From the result that jest writes with --json. A file that could not be run is a failure. */
export function fromJest(result) {
  const tests = result.testResults.flatMap((file) => file.assertionResults.map((test) => ({ ...test, file: file.name })));
  const broken = result.testResults.filter((file) => file.status === 'failed' && file.assertionResults.every((test) => test.status !== 'failed'));
  const of = (...states) => tests.filter((test) => states.includes(test.status));
  const name = (test) => `${shortPath(test.file)}: ${test.fullName}`;
  return {
    passed: of('passed').length, failed: of('failed').length + broken.length, skipped: of('pending', 'skipped', 'todo', 'disabled').length,
    failures: [...of('failed').map((test) => [name(test), ...reasonOf(test.failureMessages)].join('\n')), ...broken.map((file) => `${shortPath(file.name)}: ${firstLine(file.message)}`)],
    skips: of('pending', 'skipped', 'todo', 'disabled').map(name),
  };
}

/** Where the time of a run of jest went: its files and its tests that took longest, in words, whole seconds. What takes less than one is left out. */
export function slowest(result, most) {
  const tests = result.testResults.flatMap((file) => file.assertionResults.map(({ fullName, duration }) => ({ what: `${shortPath(file.name)}: ${fullName}`, ms: duration ?? 0 })));
  const files = result.testResults.map((file) => ({ what: shortPath(file.name), ms: file.endTime - file.startTime }));
  const top = (items) => items.filter(({ ms }) => ms >= 1_000).sort((a, b) => b.ms - a.ms).slice(0, most).map(({ what, ms }) => `${String(Math.round(ms / 1_000)).padStart(5)} s ${what.slice(0, MOST_TEXT)}`);
  return [...top(files), ...top(tests)];
}

const shortPath = (path) => path.replace(/^.*\/(?=(libs|services|tools|test)\/)/, '');
const linesOf = (text) => (text ?? '').replaceAll(/\u001b\[[0-9;]*m/g, '').split('\n').filter((line) => line.trim() !== '');
const firstLine = (text) => linesOf(text).slice(0, 3).map((line) => line.trim()).join(' ').slice(0, MOST_TEXT);
/** What the test said, shortened, without the places in the code: a log that is cut keeps its end. */
const reasonOf = (messages) => (messages ?? []).flatMap(linesOf).filter((line) => !/^\s+at /.test(line)).slice(0, MOST_LINES).map((line) => `    ${line.slice(0, MOST_TEXT)}`);

/** From the TAP that node --test writes: its closing counts, and the names of what did not pass. */
export function fromNodeTest(tap) {
  const count = (name) => Number(new RegExp(`^# ${name} (\\d+)$`, 'm').exec(tap)?.[1] ?? 0);
  const named = (pattern) => [...tap.matchAll(pattern)].map(([, name]) => name.trim());
  return {
    passed: count('pass'), failed: count('fail') + count('cancelled'), skipped: count('skipped') + count('todo'),
    failures: named(/^\s*not ok \d+ - ([^#\n]*)$/gm), skips: named(/^\s*ok \d+ - ([^#\n]*)# SKIP/gm),
  };
}
