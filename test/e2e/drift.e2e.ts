// An orphan of each kind in a pool whose VMs come and go: each is found within a minute and comes to what its kind says; nothing
// that lives is touched; and what was kept apart goes when a person says so.
import type { ChildProcess } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { deleteVolume, driftKindNames, driftKinds, getDrift, listVolumes, powerOffVm } from '#contracts';
import type { DriftFinding, DriftKind, Vm } from '#contracts';
import { closeOwners } from '../faults/owners.ts';
import { allFindings, churn, type Churned } from './churn.ts';
import { eventually } from './eventually.ts';
import { paste } from './guide.ts';
import { holdings } from './holdings.ts';
import type { Holdings } from './holdings.ts';
import { vsctl } from './lab.mjs';
import { orphans } from './orphans.ts';
import { qemusOf } from './qemu.ts';
import { Refusal } from './rest.ts';
import { openShell, signInShell } from './shell.ts';
import type { Shell } from './shell.ts';
import { answersPing, booted, deploy, removeOwn, vmOf } from './vms.ts';
import { hostOf, openWorld } from './world.ts';
import type { World } from './world.ts';

const WITHIN_MS = 60_000;
let world: World;
let shell: Shell;
let before: Holdings;
let running: Vm;
let stopped: Vm;
let known: Set<string>;
const processes: ChildProcess[] = [];
const found = new Map<DriftKind, DriftFinding>();
const objects = new Map<DriftKind, string>();

beforeAll(async () => {
  world = await openWorld('drift');
  shell = await openShell(world);
  await signInShell(shell, world);
  before = await holdings(world);
  [running, stopped] = await Promise.all([deploy(world, 'running'), deploy(world, 'stopped', { nics: [] })]);
  await booted(world, running);
  await world.rest.carryOut(powerOffVm, { vmId: stopped.id });
  [running, stopped] = [await vmOf(world, running.id), await vmOf(world, stopped.id)];
  known = new Set((await allFindings(world)).map(({ id }) => id));
}, 180_000);
afterAll(async () => {
  for (const process of processes) process.kill('SIGKILL');
  await removeOwn(world);
  await shell.close();
  await closeOwners();
});

const isOf = ({ kind, object }: DriftFinding, wanted: DriftKind): boolean => kind === wanted && object.id.includes(objects.get(wanted)!);
const fresh = async (): Promise<DriftFinding[]> => (await allFindings(world)).filter(({ id, object }) => !known.has(id) || [...objects.values()].some((one) => object.id.includes(one)));

describe('orphans in a pool whose VMs come and go', () => {
  let churned: Churned;
  const times: string[] = [];

  it('are found, each of its kind, within a minute, and come to what their kind says', async () => {
    let over = false;
    const churning = churn(world, 1, () => over);
    try {
      for (const { kind, inject } of orphans) objects.set(kind, await inject({ world, running, stopped, processes }));
      const since = performance.now();
      await eventually('each is found and has come to where it must', async () => {
        const all = await fresh();
        for (const { kind, state } of orphans) {
          const finding = all.find((one) => isOf(one, kind) && one.state === state);
          if (finding === undefined || found.has(kind)) continue;
          found.set(kind, finding);
          times.push(`${kind} ${((performance.now() - since) / 1000).toFixed(1)} s`);
        }
        const missing = orphans.filter(({ kind }) => !found.has(kind));
        if (missing.length > 0) throw new Error(missing.map(({ kind }) => `${kind} ${objects.get(kind)!}: ${JSON.stringify(all.filter((one) => one.kind === kind).map(({ object, state, reason }) => [object.id, state, reason]))}`).join('; '));
        return true;
      }, { withinMs: WITHIN_MS, everyMs: 500 });
    } finally {
      over = true;
      process.stderr.write(`drift: found and settled after ${times.join(', ')}; not: ${orphans.filter(({ kind }) => !found.has(kind)).map(({ kind }) => kind).join(', ') || 'none'}\n`);
      churned = await churning;
    }
    expect([...found.keys()].sort()).toEqual(orphans.map(({ kind }) => kind).sort());
  }, 240_000);

  it('are all that was found, while every VM that came and went did so undisturbed', async () => {
    expect(churned.rounds).toBeGreaterThan(0);
    const others = (await fresh()).filter((finding) => !orphans.some(({ kind }) => isOf(finding, kind)));
    expect(others.map(({ kind, object, text, state }) => [kind, object.id, text, state])).toEqual([]);
  });

  it('are of every kind but one, which the pool’s own sweep never lets happen', () => {
    expect(driftKindNames.filter((kind) => !orphans.some((orphan) => orphan.kind === kind))).toEqual(['task-idle']);
  });

  it('are told with what differs and what would be done, and each kind has a row in the table', async () => {
    for (const [kind, { id }] of found) {
      const finding = await world.rest.ask(getDrift, { findingId: id });
      expect(finding).toMatchObject({ kind, would: driftKinds[kind].repair ?? expect.any(String), text: expect.stringMatching(/./) });
      expect(finding.looks).toBeGreaterThanOrEqual(2);
    }
  });
});

describe('what lives', () => {
  it('runs on as it was, joined to its network again', async () => {
    const now = await vmOf(world, running.id);
    expect([now.status.state, now.status.pid, now.taskId]).toEqual(['running', running.status.pid, null]);
    expect((await qemusOf(world, running.id)).length).toBe(1);
    await answersPing(world, running);
    expect(await vmOf(world, stopped.id)).toMatchObject({ taskId: null, status: { state: 'stopped' } });
  });
  it('and what nobody knows runs on too', () => {
    expect(processes.map(({ exitCode, signalCode }) => [exitCode, signalCode])).toEqual([[null, null]]);
  });
});

describe('the guide', () => {
  it('can be pasted as it stands', async () => {
    expect(await paste(world, shell, 'drift.md', { withinMs: 60_000 })).toContain('file-unknown');
  });
});

describe('a person', () => {
  const idOf = (kind: DriftKind): string => found.get(kind)!.id;

  it('sees them with the command line, and is asked to confirm what cannot be taken back', async () => {
    expect(await shell.tokctl('drift', 'list', '--open', '--kind', 'file-unknown')).toContain('file-unknown');
    const refused = await shell.run(['tokctl', 'drift', 'repair', idOf('file-unknown')]);
    expect([refused.status === 0, refused.err]).toEqual([false, expect.stringContaining('cannot be taken back')]);
  });

  it('has a file put back where it was, and then lets it go', async () => {
    const [path, kept] = [join(world.record.datastore.path, objects.get('file-unknown')!), join(world.record.datastore.path, '.quarantine')];
    expect([existsSync(path), existsSync(kept)]).toEqual([false, true]);
    expect(await shell.tokctlJson('drift', 'release', idOf('file-unknown'))).toMatchObject({ state: 'dismissed' });
    expect(existsSync(path)).toBe(true);
    rmSync(path);
  });

  it('has the rest put right', async () => {
    for (const kind of ['qemu-unknown', 'vm-elsewhere', 'vm-unknown', 'port-foreign', 'switch-unknown'] as const) {
      expect(await shell.tokctlJson('drift', 'repair', idOf(kind), '--confirm')).toMatchObject({ state: 'repaired' });
    }
    await eventually('the stranger has ended', () => processes.every(({ exitCode, signalCode }) => exitCode !== null || signalCode !== null));
    expect(await shell.tokctlJson('drift', 'dismiss', idOf('file-foreign'))).toMatchObject({ state: 'dismissed' });
    rmSync(join(world.record.datastore.path, objects.get('file-foreign')!));
    for (const { id } of (await world.rest.ask(listVolumes, { q: `${world.prefix}-lost` })).items) await world.rest.carryOut(deleteVolume, { volumeId: id });
    // The VM that was switched off leaves a directory that nobody knows, and it is known for that in turn.
    const left = await eventually('its directory is found', async () => (await allFindings(world)).find(({ kind, object, state }) => kind === 'vm-unknown' && object.id === objects.get('vm-elsewhere') && state === 'quarantined'), { withinMs: WITHIN_MS, everyMs: 500 });
    await shell.tokctl('drift', 'repair', left.id, '--confirm');
  }, 120_000);

  it('who may not is refused, and nothing is left of it all', async () => {
    await expect(world.rest.ask(getDrift, { findingId: getDrift.input.shape.findingId.parse('00000000-0000-7000-8000-000000000000') })).rejects.toThrow(Refusal);
    await removeOwn(world);
    // What the injected claim took from the sums is counted anew by the scheduler's next look at its hosts.
    await eventually('nothing is left', async () => {
      expect(await holdings(world)).toEqual(before);
      return true;
    }, { withinMs: 60_000, everyMs: 2_000 });
    expect(await vsctl(hostOf(world, running).ovsRundir, ['list-ports', `br-${world.record.network.switchId.slice(-12)}`])).not.toContain('tap');
  }, 180_000);
});
