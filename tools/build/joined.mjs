// Joins what a program loads into a few files: one that starts reads a dozen of them then and not fifteen hundred, and
// leaves out what nothing calls.
import { createRequire } from 'node:module';
import { readFile, writeFile } from 'node:fs/promises';
import { build, stop } from 'esbuild';

/**
 * Libraries that stay outside: those that another would load if they were there (other databases, other transports), and
 * those that our own code loads when it needs them, because a joined CommonJS module has no names to a dynamic import.
 */
const outside = {
  name: 'outside',
  setup({ onResolve, resolve }) {
    onResolve({ filter: /^[^./#]/ }, async ({ path, pluginData, ...args }) => {
      if (pluginData === outside || args.kind === 'entry-point') return undefined;
      if (args.kind === 'dynamic-import' && !args.importer.includes('/node_modules/')) return { path, external: true };
      const found = await resolve(path, { ...args, pluginData: outside });
      return found.errors.length > 0 ? { path, external: true } : undefined;
    });
  },
};

/** Of these libraries a file of which nobody takes anything is left out: to be loaded is all that it would do. */
const pure = ['bus', 'contracts'];
const unused = {
  name: 'unused',
  setup({ onResolve, resolve }) {
    onResolve({ filter: /^[#.]/ }, async ({ path, pluginData, ...args }) => {
      if (pluginData === unused || !pure.some((name) => path === `#${name}` || args.importer.includes(`/libs/${name}/`))) return undefined;
      return { ...(await resolve(path, { ...args, pluginData: unused })), sideEffects: false };
    });
  },
};

/**
 * The joiner wraps every function in this, so that it keeps its name where another one had it: an arrow function made in passing would
 * be given its name each time it is made. Only what has a prototype needs it: classes, whose names stand in messages.
 */
const wrapper = { from: 'var __name = (target, value) => __defProp(', to: 'var __name = (target, value) => target.prototype === void 0 ? target : __defProp(' };

async function nameLess(files) {
  const texts = await Promise.all(files.filter((file) => file.endsWith('.js')).map(async (file) => [file, await readFile(file, 'utf8')]));
  const naming = texts.filter(([, text]) => text.includes(wrapper.from));
  if (naming.length === 0) throw new Error('the joiner writes its wrapper for names in another way: see nameLess');
  await Promise.all(naming.map(([file, text]) => writeFile(file, text.replace(wrapper.from, wrapper.to))));
}

/** Writes `<outdir>/<name>.js` for each of `{ name: file }`, and what they share beside them. `conditions` as of package.json's imports. */
export async function joinPrograms(entryPoints, outdir, conditions = []) {
  const { metafile } = await build({
    entryPoints,
    outdir,
    conditions,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node22',
    keepNames: true, // names of classes stand in messages
    sourcemap: 'linked',
    logLevel: 'warning',
    plugins: [outside, unused],
    // Before everything: decorators ask for it while they are loaded, and the file that imports it may be left out as it does nothing else.
    inject: [createRequire(import.meta.url).resolve('reflect-metadata')],
    // Libraries in CommonJS ask for Node's own modules by `require`.
    banner: { js: "import { createRequire as requireFrom } from 'node:module';\nconst require = requireFrom(import.meta.url);" },
    metafile: true,
  });
  await nameLess(Object.keys(metafile.outputs));
}

/** Ends what joins, where the process that asked goes on. */
export const stopJoining = stop;
