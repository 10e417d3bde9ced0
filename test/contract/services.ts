// What the services really are, read from their modules as Nest reads them: a handler counts only when a controller of
// the module that the service starts has it.
import 'reflect-metadata';
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { MODULE_METADATA } from '@nestjs/common/constants.js';
import { PATTERN_EXTRAS_METADATA } from '@nestjs/microservices/constants.js';
import type { Served } from '#bus';
import type { Operation } from '#contracts';

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

type Class = abstract new (...args: never[]) => object;
type Imported = Class | { readonly module: Class; readonly controllers?: readonly Class[]; readonly imports?: readonly Imported[] };
const isClass = (value: unknown): value is Class => typeof value === 'function';
const listed = <T>(key: string, target: Class): readonly T[] => (Reflect.getMetadata(key, target) as readonly T[] | undefined) ?? [];

function controllersOf(imported: Imported): readonly Class[] {
  const module = isClass(imported) ? imported : imported.module;
  const { controllers = [], imports = [] } = isClass(imported) ? { controllers: [], imports: [] } : imported;
  return [...listed<Class>(MODULE_METADATA.CONTROLLERS, module), ...controllers, ...[...listed<Imported>(MODULE_METADATA.IMPORTS, module), ...imports].flatMap(controllersOf)];
}

const isServed = (value: unknown): value is Served => typeof value === 'object' && value !== null && 'kind' in value;

/** What the methods of a controller serve. */
function servedBy(controller: Class): readonly Served[] {
  const prototype = controller.prototype as object;
  return Object.getOwnPropertyNames(prototype).flatMap((name) => {
    const method = Object.getOwnPropertyDescriptor(prototype, name)?.value as unknown;
    const extras = typeof method === 'function' ? (Reflect.getMetadata(PATTERN_EXTRAS_METADATA, method) as { served?: unknown } | undefined) : undefined;
    return isServed(extras?.served) ? [extras.served] : [];
  });
}

export interface ServiceFace {
  readonly service: string;
  readonly operations: readonly Operation[];
}

/** Every directory under services/ with a module. */
export async function serviceFaces(): Promise<readonly ServiceFace[]> {
  const names = readdirSync(join(root, 'services')).filter((name) => existsSync(join(root, 'services', name, `${name}.module.ts`)));
  return Promise.all(names.sort().map(async (service) => {
    const exported = (await import(pathToFileURL(join(root, 'services', service, `${service}.module.ts`)).href)) as Readonly<Record<string, unknown>>;
    const modules = Object.values(exported).filter(isClass).filter((one) => Reflect.hasMetadata(MODULE_METADATA.PROVIDERS, one) || Reflect.hasMetadata(MODULE_METADATA.CONTROLLERS, one));
    const operations = modules.flatMap(controllersOf).flatMap(servedBy).flatMap((served) => (served.kind === 'operation' ? [served.operation] : []));
    return { service, operations };
  }));
}

/** Source files below directories, without tests. */
export function sources(...directories: readonly string[]): readonly string[] {
  return directories.flatMap((directory) => readdirSync(join(root, directory), { recursive: true, encoding: 'utf8' })
    .filter((path) => /\.(ts|mjs)$/.test(path) && !/\.(spec|it|e2e|fault|test)\.(ts|mjs)$/.test(path) && !path.includes('node_modules') && !/(^|\/)(testing|fixtures)\//.test(path))
    .map((path) => join(root, directory, path)));
}
