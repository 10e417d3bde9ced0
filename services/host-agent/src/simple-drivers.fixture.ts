// Drivers for tests of the actors: QEMU is real, disks and switches are left out or are plain files.
import { access, mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { VolumePlace } from '#contracts';
import { CommandCancelled, HostCommandFailed } from '#contracts';
import { ok, sleep } from '#kernel';
import type { Drivers } from './environment.ts';

const pathOf = (place: VolumePlace): string => join(place.datastorePath, place.relativePath);
const done = () => Promise.resolve(ok(undefined));
const notHere = () => Promise.resolve(HostCommandFailed.fail('Not part of this test.', { reason: 'test' }));
const isThere = (path: string): Promise<boolean> => access(path).then(() => true, () => false);

export function simpleDrivers(): Drivers {
  const generations = new Map<string, number>();
  return {
    switches: {
      datapath: () => 'none', version: () => null,
      apply: ({ switchId, generation }) => { generations.set(switchId, generation); return Promise.resolve(ok({ bridge: 'br-test' })); },
      remove: (switchId) => { generations.delete(switchId); return done(); },
      appliedGeneration: (switchId) => Promise.resolve(generations.get(switchId) ?? null),
      tap: (_vmId, { nicId }) => Promise.resolve(ok({ ifname: `tap${nicId.slice(-8)}` })),
      attach: (_vmId, { nicId }) => Promise.resolve(ok({ ifname: `tap${nicId.slice(-8)}` })),
      detach: done, listPorts: () => Promise.resolve([]), survey: () => Promise.resolve(ok({ switches: [], ports: [], missing: [] })), removeStray: done, restore: done, stop: () => Promise.resolve(),
    },
    volumes: {
      create: async ({ place, sizeBytes }) => {
        await mkdir(dirname(pathOf(place)), { recursive: true });
        // Each carrying out leaves a line, so that a test sees how often it happened.
        await writeFile(pathOf(place), `${sizeBytes}\n`, { flag: 'a' });
        return ok({ allocatedBytes: 0 });
      },
      copy: async (_input, work) => {
        const { signal } = work;
        for (let doneBytes = 0; !signal.aborted; doneBytes++) {
          work.onProgress({ doneBytes, totalBytes: 1_000_000_000 });
          await sleep(10, signal);
        }
        return CommandCancelled.fail('The copy was cancelled.');
      },
      delete: async ({ place }) => { await rm(pathOf(place), { force: true }); return ok({}); },
      cancel: () => Promise.resolve(ok({})),
      ingest: notHere, uploadWrite: notHere, uploadDiscard: notHere, probe: notHere, scan: notHere, survey: notHere, keep: notHere, release: notHere, purge: notHere,
      effectOf: async (command, input) => ((await isThere(pathOf((input as { place: VolumePlace }).place))) === (command !== 'volume.delete') ? 'done' : 'not-done'),
      prepareForVm: done,
    },
    cgroups: { version: 'none', prepare: () => Promise.resolve([]), adjust: done, restore: () => Promise.resolve(), hold: () => Promise.resolve(), release: () => Promise.resolve() },
    accelerator: { probe: () => Promise.resolve({ accelerator: 'tcg' as const, reason: 'chosen by the test' }) },
  };
}
