// The version of the product, from its package.json.
import { readFileSync } from 'node:fs';
import { findPackageJSON } from 'node:module';
import { z } from 'zod';

const path = findPackageJSON(import.meta.url);
if (path === undefined) throw new Error('package.json is missing');

export const version = z.object({ version: z.string() }).parse(JSON.parse(readFileSync(path, 'utf8'))).version;
