// The OpenAPI 3.1 text of the REST door, made from the contracts alone: same contracts, same text. The door serves what
// is committed as reference.
import { z } from 'zod';
import { allOperations } from './catalogue.ts';
import type { Operation } from './define.ts';
import { allErrors, commonErrors, errorKinds, FieldIssue, ImageRefused, NotFound, WrongState } from './errors.ts';
import type { ErrorDef } from './errors.ts';
import { NamedSchemas } from './json-schema.ts';
import type { Json } from './json-schema.ts';
import { Plan } from './plan.ts';
import { imageContentRoute, routesOf } from './routes.ts';
import type { Route } from './routes.ts';

const title = 'Tokamak';
const place = '#/components/schemas/';
const refTo = (id: string): Json => ({ $ref: `${place}${id}` });

/** The document as a value; `JSON.stringify(openApi(), null, 2)` is the reference. */
export function openApi(operations: readonly Operation[] = allOperations, version = '1'): Json {
  const schemas = new NamedSchemas(place);
  const paths: Record<string, Json> = {};
  for (const route of routesOf(operations)) {
    const path = (paths[route.path.replace(/:([A-Za-z0-9]+)/g, '{$1}')] ??= {});
    path[route.method.toLowerCase()] = operationObject(route, schemas);
  }
  paths['/v1/images/{imageId}/content'] = { [imageContentRoute.method.toLowerCase()]: imageContent(schemas) };
  return {
    openapi: '3.1.1',
    info: {
      title, version, license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      description: 'Long work answers `202` with `Location: /v1/tasks/{id}`. Every refusal is `application/problem+json` with a stable `code`. Commands take `Idempotency-Key`, and those that can be explained `?dryRun=true`; changes take `If-Match` with the version that `ETag` gave.',
    },
    security: [{ bearer: [] }],
    tags: [...new Set(routesOf(operations).map(tagOf))].sort().map((name) => ({ name })),
    paths: Object.fromEntries(Object.entries(paths).sort(([a], [b]) => (a < b ? -1 : 1))),
    components: {
      securitySchemes: { bearer: { type: 'http', scheme: 'bearer', description: 'an access token of a session, or an API token' } },
      schemas: { ...schemas.all(), Problem: problem() },
      responses: refusalsOfAll(operations),
    },
  };
}

const tagOf = ({ operation }: Route): string => `${operation.service}: ${operation.noun}`;

function operationObject(route: Route, schemas: NamedSchemas): Json {
  const { operation, pathParams, members, rest } = route;
  const input = schemas.of(operation.input, 'input') as { properties?: Record<string, Json>; required?: string[] };
  const properties = input.properties ?? {};
  const required = input.required ?? [];
  const parameter = (place: 'path' | 'query') => (name: string): Json => {
    const { description, ...schema } = properties[name] ?? {};
    return { name, in: place, required: place === 'path' || required.includes(name), ...(description === undefined ? {} : { description }), schema };
  };
  const others = members.filter((name) => !pathParams.includes(name));
  const dryRun = operation.dryRun ? [{ name: 'dryRun', in: 'query', required: false, description: 'true = only asks what would happen: the answer is 200 with a `Plan`, and nothing is done', schema: { type: 'boolean', default: false } }] : [];
  const parameters = [...pathParams.map(parameter('path')), ...dryRun, ...(rest === 'query' ? others.map(parameter('query')) : []), ...headerParameters(operation, members)];
  const body = rest === 'body' && others.length > 0 ? { requestBody: bodyOf(properties, required, others) } : {};
  return {
    operationId: operation.name,
    tags: [tagOf(route)],
    summary: operation.summary,
    description: [operation.description, accessText(operation)].filter(Boolean).join('\n\n'),
    ...(operation.permission === 'public' ? { security: [] } : {}),
    ...(parameters.length > 0 ? { parameters } : {}),
    ...body,
    responses: { ...(operation.dryRun ? plan(schemas, route.successStatus === 200 ? schemas.of(operation.reply, 'output') : undefined) : {}), ...(operation.dryRun && route.successStatus === 200 ? {} : { [String(route.successStatus)]: success(route, schemas) }), ...refusals([...operation.errors, ...commonErrors]) },
  };
}

function bodyOf(properties: Record<string, Json>, required: readonly string[], names: readonly string[]): Json {
  const needed = names.filter((name) => required.includes(name));
  const schema = { type: 'object', properties: Object.fromEntries(names.map((name) => [name, properties[name] ?? {}])), ...(needed.length > 0 ? { required: needed } : {}), additionalProperties: false };
  return { required: needed.length > 0, content: { 'application/json': { schema } } };
}

function headerParameters(operation: Operation, members: readonly string[]): Json[] {
  const key = { name: 'Idempotency-Key', in: 'header', description: 'the same key and the same request have one effect; echoed, made up when absent', schema: { type: 'string', maxLength: 128 } };
  const match = { name: 'If-Match', in: 'header', description: 'the `ETag` of the object; refused with 412 when somebody changed it', schema: { type: 'string' } };
  return [...(operation.kind === 'command' ? [key] : []), ...(members.includes('version') ? [match] : [])];
}

const accessTexts: Readonly<Record<string, string>> = { public: 'Needs no credentials.', authenticated: 'For every signed-in user, about himself.' };
const accessText = ({ permission }: Operation): string => accessTexts[permission] ?? `Needs the right \`${permission}\`.`;

function success({ operation, successStatus }: Route, schemas: NamedSchemas): Json {
  const headers = successStatus === 200 ? {} : { headers: { Location: { description: successStatus === 202 ? 'the task' : 'the new object', schema: { type: 'string' } } } };
  return { description: successStatus === 202 ? 'Accepted; a task does it' : 'Done', ...headers, content: { 'application/json': { schema: schemas.of(operation.reply, 'output') } } };
}

/** What a dry run answers; where a success is 200 as well, it is one of the two. */
function plan(schemas: NamedSchemas, reply: Json | undefined): Json {
  const asPlan = schemas.of(Plan, 'output');
  return { 200: { description: reply === undefined ? 'With `dryRun`: what would happen' : 'Done; with `dryRun`: what would happen', content: { 'application/json': { schema: reply === undefined ? asPlan : { oneOf: [reply, asPlan] } } } } };
}

/** Refusals of one status, which many operations share: each set of codes stands once, called by its codes. */
type Refused = readonly [status: number, id: string, response: Json];

function refusalsOf(errors: readonly ErrorDef[]): Refused[] {
  const byStatus = Map.groupBy(new Set(errors), ({ kind }) => errorKinds[kind]);
  return [...byStatus].sort(([a], [b]) => a - b).map(([status, defs]) => [
    status, defs.map(({ code }) => code).join('-'),
    { description: defs.map(({ code, title: text }) => `\`${code}\`: ${text}`).join('; '), content: { 'application/problem+json': { schema: refTo('Problem') } } },
  ]);
}

const refusals = (errors: readonly ErrorDef[]): Json => Object.fromEntries(refusalsOf(errors).map(([status, id]) => [String(status), { $ref: `#/components/responses/${id}` }]));

const imageRefusals = [NotFound, WrongState, ImageRefused, ...commonErrors];
const refusalsOfAll = (operations: readonly Operation[]): Json => {
  const each = [imageRefusals, ...routesOf(operations).map(({ operation }) => [...operation.errors, ...commonErrors])].flatMap(refusalsOf);
  return Object.fromEntries(each.map(([, id, response]) => [id, response] as const).sort(([a], [b]) => (a < b ? -1 : 1)));
};

function imageContent(schemas: NamedSchemas): Json {
  const taskRef = operationReply('templates.image.import', schemas);
  return {
    operationId: 'templates.image.upload', tags: ['templates: image'], summary: 'Send the bytes of an announced image; it is imported when they are complete',
    description: 'An upload that broke off can be sent again from the start.\n\nNeeds the right `image.write`.',
    parameters: [{ name: 'imageId', in: 'path', required: true, schema: { type: 'string', format: 'uuid' } }],
    requestBody: { required: true, content: { 'application/octet-stream': { schema: {} } } },
    responses: { 202: { description: 'Accepted; a task imports it', headers: { Location: { description: 'the task', schema: { type: 'string' } } }, content: { 'application/json': { schema: taskRef } } }, ...refusals(imageRefusals) },
  };
}

const operationReply = (name: string, schemas: NamedSchemas): Json => {
  const found = allOperations.find((operation) => operation.name === name);
  return found ? schemas.of(found.reply, 'output') : {};
};

function problem(): Json {
  return {
    type: 'object', description: 'RFC 9457; `code` is stable, `detail` is for people',
    required: ['type', 'title', 'status', 'detail', 'code'],
    properties: {
      type: { type: 'string' }, title: { type: 'string' }, status: { type: 'integer' }, detail: { type: 'string' }, instance: { type: 'string' }, traceId: { type: 'string' },
      code: { type: 'string', enum: [...allErrors.keys()].sort() },
      details: { type: 'object', description: 'depends on the code', properties: { issues: { type: 'array', items: z.toJSONSchema(FieldIssue, { override: ({ jsonSchema }) => { delete jsonSchema.$schema; } }) } } },
    },
  };
}
