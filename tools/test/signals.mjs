// An interrupted run ends its commands and its lab before it goes, whoever interrupts it: a terminal, a shell, a CI runner.
import { endAll } from './run-to-end.mjs';

const SIGNALS = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 };

export function endOnSignal(cleanUp) {
  let ending = false;
  const end = (signal) => {
    if (ending) return; // a second one, as npm passes on what a terminal has sent already, does not end the cleaning up
    ending = true;
    endAll();
    Promise.resolve().then(cleanUp).catch((error) => { console.error(error.message); }).finally(() => process.exit(SIGNALS[signal]));
  };
  for (const signal of Object.keys(SIGNALS)) process.on(signal, end);
}
