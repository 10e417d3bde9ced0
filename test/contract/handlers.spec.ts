// Every contract is served by its owner, and nothing is served that no contract names.
import { beforeAll, describe, expect, it } from '@jest/globals';
import { allOperations, driftServices, services, taskServices } from '#contracts';
import { serviceFaces } from './services.ts';
import type { ServiceFace } from './services.ts';

/** Answered by every service with an outbox, with tasks, or with findings, without a line in the service. */
const standard = [...services.map((service) => `${service}.events.read`), ...taskServices.flatMap((service) => ['get', 'list', 'cancel', 'retry'].map((verb) => `${service}.task.${verb}`)), ...driftServices.flatMap((service) => ['get', 'repair', 'dismiss', 'release'].map((verb) => `${service}.drift.${verb}`))];

describe('handlers', () => {
  let faces: readonly ServiceFace[];
  beforeAll(async () => { faces = await serviceFaces(); });

  it.each([...services])('%s serves every contract of its own, once', (service) => {
    const served = faces.filter((face) => face.service === service).flatMap(({ operations }) => operations.map(({ name }) => name)).sort();
    const owned = allOperations.filter((operation) => operation.service === service && !standard.includes(operation.name)).map(({ name }) => name);
    expect(served).toEqual(owned);
  });

  it('serve only operations of the catalogue', () => {
    const known = new Set(allOperations);
    expect(faces.flatMap(({ operations }) => operations.filter((operation) => !known.has(operation)).map(({ name }) => name))).toEqual([]);
  });

  it('no one serves what another service owns', () => {
    expect(faces.flatMap(({ service, operations }) => operations.filter((operation) => operation.service !== service).map(({ name }) => `${service} serves ${name}`))).toEqual([]);
  });
});
