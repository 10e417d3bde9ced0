// The rules that every operation keeps: subject, right, route, errors, ids.
import { describe, expect, it } from '@jest/globals';
import { z } from 'zod';
import * as ids from '../../libs/contracts/src/ids.ts';
import { allErrors, allOperations, errorKinds, methods, NotFound, permissions, routeOf, services } from '#contracts';
import type { Operation } from '#contracts';

const offenders = (rule: (operation: Operation) => boolean): string[] => allOperations.filter((operation) => !rule(operation)).map(({ name }) => name);
const shapeOf = ({ input }: Operation): Readonly<Record<string, z.ZodType>> => (input instanceof z.ZodObject ? input.shape : {});
const reserved = ['evt', 'host', 'hb', 'rpt', 'user', 'console'];

describe('subjects', () => {
  it('are within the grammar', () => {
    expect(offenders(({ subject }) => /^tok\.v1(\.[a-z][a-z0-9]*(-[a-z0-9]+)*){3}$/.test(subject))).toEqual([]);
  });
  it('belong to services, none of them called by a reserved word', () => {
    expect(services.filter((service) => reserved.includes(service))).toEqual([]);
    expect(offenders(({ service, name }) => services.includes(service) && name.startsWith(`${service}.`))).toEqual([]);
  });
  it('are unique', () => {
    expect(new Set(allOperations.map(({ subject }) => subject)).size).toBe(allOperations.length);
  });
});

describe('rights', () => {
  it('are of the catalogue', () => {
    const known: readonly string[] = [...permissions, 'authenticated', 'public', 'internal'];
    expect(offenders(({ permission }) => known.includes(permission))).toEqual([]);
  });
  it('guard everything that changes something and has a route', () => {
    // Signing in and out needs no right: what is sent there proves who it is.
    const open = ['auth.session.login', 'auth.session.logout', 'auth.session.refresh'];
    expect(offenders(({ kind, http, permission, name }) => kind === 'query' || http === undefined || permission !== 'public' || open.includes(name))).toEqual([]);
  });
  it('keep what is internal off the doors', () => {
    expect(offenders(({ permission, http }) => permission !== 'internal' || http === undefined)).toEqual([]);
  });
  it('are checked on a member of the input', () => {
    expect(offenders((operation) => operation.on === undefined || operation.on in shapeOf(operation))).toEqual([]);
  });
});

describe('dry runs', () => {
  it('are of commands alone', () => {
    expect(offenders(({ kind, dryRun }) => !dryRun || kind === 'command')).toEqual([]);
  });
  it('are of every command to a VM', () => {
    expect(offenders(({ service, noun, kind, http, dryRun }) => service !== 'compute' || noun !== 'vm' || kind === 'query' || http === undefined || dryRun)).toEqual([]);
  });
  it('find no member of that name in an input', () => {
    expect(offenders((operation) => !('dryRun' in shapeOf(operation)))).toEqual([]);
  });
});

describe('errors', () => {
  it('name what is not there wherever an object is touched', () => {
    expect(offenders(({ on, errors }) => on === undefined || errors.includes(NotFound))).toEqual([]);
  });
  it('are listed by every command that takes an object in its path', () => {
    expect(offenders((operation) => operation.kind === 'query' || (routeOf(operation)?.pathParams.length ?? 0) === 0 || operation.errors.length > 0)).toEqual([]);
  });
  it('are of the registry and of a known kind', () => {
    expect(offenders(({ errors }) => errors.every((error) => allErrors.get(error.code) === error))).toEqual([]);
    expect([...allErrors.values()].filter(({ kind }) => !(kind in errorKinds)).map(({ code }) => code)).toEqual([]);
    expect([...allErrors.keys()].filter((code) => !/^[A-Z][A-Z0-9]*(_[A-Z0-9]+)*$/.test(code))).toEqual([]);
  });
});

describe('routes', () => {
  const routes = allOperations.flatMap((operation) => routeOf(operation) ?? []);

  it('have the form /v1/<nouns>[/{id}[/{verb}]]', () => {
    // The session and the site are one each; liveness stands below the service that has it.
    const form = /^\/v1(\/ha)?\/[a-z]+(-[a-z]+)*(\/:[a-zA-Z]+)?(\/[a-z]+(-[a-z]+)*)?$/;
    expect(routes.filter(({ path }) => !form.test(path)).map(({ path }) => path)).toEqual([]);
  });
  it('are unique, whatever their parameters are called', () => {
    const keys = routes.map(({ method, path }) => `${method} ${path.replace(/:[^/]+/g, ':')}`);
    expect(keys.filter((key, at) => keys.indexOf(key) !== at)).toEqual([]);
  });
  it('take their path from the input, as its first right demands', () => {
    expect(routes.filter(({ pathParams, members }) => !pathParams.every((name) => members.includes(name))).map(({ path }) => path)).toEqual([]);
    expect(routes.filter(({ operation, pathParams }) => operation.on !== undefined && !pathParams.includes(operation.on)).map(({ operation }) => operation.name)).toEqual([]);
  });
  it('read with GET and change with something else', () => {
    // An explanation has too large a question for a URL.
    const asked = ['scheduler.placement.explain'];
    expect(routes.filter(({ method, operation }) => (method === 'GET') !== (operation.kind === 'query') && !asked.includes(operation.name)).map(({ operation }) => operation.name)).toEqual([]);
    expect(routes.every(({ method }) => methods.includes(method))).toBe(true);
  });
  it('of long work answer a task', () => {
    expect(routes.filter(({ operation, successStatus }) => operation.task !== (successStatus === 202)).map(({ operation }) => operation.name)).toEqual([]);
  });
});

describe('ids in inputs', () => {
  const branded = new Set<z.ZodType>(Object.values(ids));
  /** May mean an object of any noun. */
  const anyNoun = ['objectId', 'scopeId'];

  function plainIds(schema: z.ZodType, path: string): string[] {
    if (branded.has(schema)) return [];
    const { def } = schema;
    if (schema instanceof z.ZodObject) return Object.entries(schema.shape as Readonly<Record<string, z.ZodType>>).flatMap(([name, member]) => plainIds(member, `${path}.${name}`));
    if (schema instanceof z.ZodArray) return plainIds(schema.def.element as z.ZodType, path);
    if (schema instanceof z.ZodPipe) return plainIds(schema.def.out as z.ZodType, path);
    if ('innerType' in def) return plainIds(def.innerType as z.ZodType, path);
    const name = path.slice(path.lastIndexOf('.') + 1);
    return /(^|[a-z])Ids?$/.test(name) && !anyNoun.includes(name) ? [path] : [];
  }

  it('are branded per noun', () => {
    expect(allOperations.flatMap(({ name, input }) => plainIds(input, name))).toEqual([]);
  });
  it('refuse members that the contract does not name', () => {
    expect(offenders(({ input }) => input instanceof z.ZodObject && input.def.catchall instanceof z.ZodNever)).toEqual([]);
  });
});
