// Serves the documents about the door: landing page, OpenAPI and AsyncAPI text, reference page, and the health of the process for
// those who only see the public port. All of it is public.
import { createReadStream } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { FastifyReply } from 'fastify';
import { asyncApi, openApi } from '#contracts';
import type { Operation } from '#contracts';
import type { Health } from '#telemetry';
import { landingPage, landingStyle, pagePolicy, referencePage, referenceStart } from './pages.ts';
import type { RestDoor } from '../rest/rest.door.ts';

interface Text {
  readonly path: string;
  readonly type: string;
  readonly body: string;
}

const html = 'text/html; charset=utf-8';
const css = 'text/css; charset=utf-8';
const script = 'text/javascript; charset=utf-8';

const texts: readonly Text[] = [
  { path: '/', type: html, body: landingPage },
  { path: '/landing.css', type: css, body: landingStyle },
  { path: '/v1/reference', type: html, body: referencePage },
  { path: '/v1/reference/start.js', type: script, body: referenceStart },
];

const files = [
  { path: '/v1/reference/swagger-ui.css', type: css, file: 'swagger-ui.css' },
  { path: '/v1/reference/swagger-ui-bundle.js', type: script, file: 'swagger-ui-bundle.js' },
] as const;

const healthPaths = ['/livez', '/readyz'] as const;

/** For the answers 404 and 405. */
export const pagePaths: readonly { readonly method: string; readonly path: string }[] = [
  ...['/', '/landing.css', '/v1/reference', '/v1/reference/start.js', '/v1/openapi.json', '/v1/asyncapi.json', ...healthPaths], ...files.map(({ path }) => path),
].map((path) => ({ method: 'GET', path }));

export function addPages(door: RestDoor, operations: readonly Operation[], health: Health, version: string): void {
  const { app } = door;
  for (const { path, type, body } of texts) app.get(path, (_request, reply) => page(reply, type).send(body));
  // Made for the first who asks: a start should not wait for it.
  const documents: readonly (readonly [path: string, make: () => unknown])[] = [['/v1/openapi.json', () => openApi(operations, version)], ['/v1/asyncapi.json', asyncApi]];
  for (const [path, make] of documents) {
    let document: string | undefined;
    app.get(path, (_request, reply) => {
      document ??= `${JSON.stringify(make(), null, 2)}\n`;
      return page(reply, 'application/json; charset=utf-8').send(document);
    });
  }
  // Only the files named above: the package's directory is not for the world.
  const directory = dirname(createRequire(import.meta.url).resolve('swagger-ui-dist/package.json'));
  for (const { path, type, file } of files) app.get(path, (_request, reply) => page(reply, type).send(createReadStream(join(directory, file))));
  app.get('/livez', (_request, reply) => reply.header('cache-control', 'no-store').send({ status: 'alive' }));
  app.get('/readyz', async (_request, reply) => {
    const { status } = await health.readiness();
    return reply.code(status === 'ready' ? 200 : 503).header('cache-control', 'no-store').send({ status });
  });
}

const page = (reply: FastifyReply, type: string): FastifyReply =>
  reply.headers({ 'cache-control': 'max-age=300', 'content-security-policy': pagePolicy, 'content-type': type, 'referrer-policy': 'no-referrer', 'x-content-type-options': 'nosniff', 'x-frame-options': 'DENY' });
