// Guests under emulation on a crowded machine may hang at boot; tests start such a guest once more and record it.
import { existsSync, readFileSync } from 'node:fs';
import { bootRetriesFile, testLabDir } from '../../test/e2e/place.mjs';

let counted = 0;

/** Reads the record, which goes with the lab; to be called before and after its end. */
export function bootRetries() {
  const file = bootRetriesFile(testLabDir());
  if (existsSync(file)) counted = readFileSync(file, 'utf8').split('\n').filter(Boolean).length;
  return counted;
}
