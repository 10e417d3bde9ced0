// An interrupted run ends its commands and its lab before it goes.
import { endAll } from './run-to-end.mjs';

export function endOnSignal(cleanUp) {
  for (const [signal, code] of [['SIGINT', 130], ['SIGTERM', 143]]) {
    process.once(signal, () => {
      endAll();
      Promise.resolve(cleanUp()).catch((error) => { console.error(error.message); }).finally(() => process.exit(code));
    });
  }
}
