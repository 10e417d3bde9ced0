// The Docker engine as the lab uses it: finds out whether one answers and which compose it has, before anything is begun.
import { CommandFailed, run } from './run.mjs';

const ASK_MS = 10_000;
/** The plugin, or the program that came before it. */
const COMPOSES = [['docker', 'compose'], ['docker-compose']];

/** The words that compose begins with here; throws, with what to do, when no engine answers or there is no compose. */
export async function findCompose() {
  await run(['docker', 'version', '--format', '{{.Server.Version}}'], { timeoutMs: ASK_MS }).catch((error) => {
    throw noEngine(error);
  });
  for (const words of COMPOSES) {
    if (await run([...words, 'version'], { timeoutMs: ASK_MS }).then(() => true, () => false)) return words;
  }
  throw new Error('Docker has no compose: install its plugin (docker-compose-plugin, or Debian\'s docker-compose), or use tools/lab up without --compose.');
}

function noEngine(error) {
  const said = error instanceof CommandFailed ? error.output.trim().split('\n')[0] || error.message : error.message;
  return new Error(`No Docker engine answers here (${said}): start it, or use tools/lab up without --compose, which needs none.`);
}
