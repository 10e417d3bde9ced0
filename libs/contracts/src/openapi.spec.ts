import { describe, expect, it } from '@jest/globals';
import { z } from 'zod';
import { allOperations } from './catalogue.ts';
import { defineQuery } from './define.ts';
import { openApi } from './openapi.ts';
import { routeOf, routesOf } from './routes.ts';

const text = JSON.stringify(openApi());

describe('the OpenAPI document', () => {
  it('describes every route once and is the same text each time', () => {
    const { paths } = openApi() as { paths: Record<string, Record<string, { operationId: string }>> };
    const described = Object.values(paths).flatMap((path) => Object.values(path).map(({ operationId }) => operationId)).sort();
    expect(described).toEqual([...routesOf(allOperations).map(({ operation }) => operation.name), 'templates.image.upload'].sort());
    expect(JSON.stringify(openApi())).toBe(text);
  });

  it('refers only to schemas that it has', () => {
    const { components } = openApi() as { components: { schemas: object } };
    const names = new Set([...text.matchAll(/#\/components\/schemas\/([A-Za-z0-9]+)/g)].map(([, name]) => name));
    expect([...names].filter((name) => !(name! in components.schemas))).toEqual([]);
    expect(text).not.toContain('$defs');
  });

  it('does not offer what only a door may write', () => {
    expect(text).not.toContain('set by the door');
  });
});

describe('a route', () => {
  const query = (http: string) => routeOf(defineQuery('compute.thing.get', { summary: 'x', http, permission: 'vm.read', input: z.strictObject({ thingId: z.string() }), reply: z.strictObject({}) }));

  it('has parameters that are members of its input', () => {
    expect(query('GET /v1/things/:thingId')?.pathParams).toEqual(['thingId']);
    expect(() => query('GET /v1/things/:otherId')).toThrow('otherId');
    for (const wrong of ['GET /things', 'FETCH /v1/things', 'GET /v1/Things', 'GET /v1/things/']) expect(() => query(wrong)).toThrow('is not METHOD');
  });

  it('belongs to one operation', () => {
    const keys = routesOf(allOperations).map(({ method, path }) => `${method} ${path.replace(/:[^/]+/g, ':')}`);
    expect(new Set(keys).size).toBe(keys.length);
  });
});
