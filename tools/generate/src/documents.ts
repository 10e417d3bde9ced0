// Every generated file of the repository with its text. Pure: the same contracts give the same bytes.
import { asyncApi, asyncApiInside, openApi } from '#contracts';
import { configReference } from '#config';
import { json } from './json-text.ts';
import { cliReference } from './cli-reference.ts';
import { busReference, errorsReference, eventsReference, hostReference, restReference } from './references.ts';
import { schemas } from './schemas.ts';

/** Path below the repository → how its text is made. */
const makers: Readonly<Record<string, () => string>> = {
  'docs/reference/openapi.json': () => json(openApi()),
  'docs/reference/asyncapi.json': () => json(asyncApi()),
  'docs/reference/asyncapi-inside.json': () => json(asyncApiInside()),
  'docs/reference/rest.md': restReference,
  'docs/reference/bus.md': busReference,
  'docs/reference/host-commands.md': hostReference,
  'docs/reference/events.md': eventsReference,
  'docs/reference/errors.md': errorsReference,
  'docs/reference/configuration.md': configReference,
  'docs/reference/cli.md': cliReference,
  'test/contract/schemas.json': () => json(schemas()),
};

export const documents = (): ReadonlyMap<string, string> => new Map(Object.entries(makers).map(([path, make]) => [path, make()]));
