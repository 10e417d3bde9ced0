// Finds a finding for a caller, asks its owner how it stands, and passes on what he decides.
import type { DataSource } from 'typeorm';
import type { BusClient, BusContext } from '#bus';
import { dismissDrift, driftOperations, NotFound, PermissionDenied, releaseDrift, repairDrift, type DriftFinding, type getDrift, type InputOf, type Permission } from '#contracts';
import { mayAccess, transaction, whoOf } from '#database';
import { ok, type Result } from '#kernel';
import { auditMutation, deedId } from '#tasks';
import { findFinding } from './drift.store.ts';

const passed = { repair: repairDrift, dismiss: dismissDrift, release: releaseDrift } as const;
type Verb = keyof typeof passed;
type Decided = InputOf<typeof repairDrift> | InputOf<typeof dismissDrift>;

export class DriftReader {
  constructor(private readonly db: DataSource, private readonly bus: Pick<BusClient, 'request'>) {}

  /** As the owner sees it now; as he last told, where he does not answer. */
  async get(input: InputOf<typeof getDrift>, ctx: BusContext): Promise<Result<DriftFinding>> {
    const found = await this.find(input.findingId, 'drift.read', ctx);
    if (!found.ok) return found;
    const now = await this.bus.request(driftOperations(found.value.service).get, { findingId: input.findingId }, { ctx, as: 'system', timeoutMs: 3_000 });
    return now.ok ? now : found;
  }

  async pass(verb: Verb, input: Decided, ctx: BusContext): Promise<Result<DriftFinding>> {
    const found = await this.find(input.findingId, 'drift.write', ctx);
    if (!found.ok) return found;
    const key = ctx.idempotencyKey === null ? {} : { idempotencyKey: ctx.idempotencyKey };
    // Whichever it is, its input is what the public one has taken.
    const operation = driftOperations(found.value.service)[verb] as ReturnType<typeof driftOperations>['dismiss'];
    const done = await this.bus.request(operation, input, { ctx, as: 'system', ...key });
    // The owner knows of a service that asked; who it was stands here. Dies before this: the request comes again under its key.
    if (done.ok) await transaction(this.db, (tx) => auditMutation(tx, { ctx, operation: passed[verb], input, reply: done.value, id: deedId(passed[verb], ctx) }));
    return done;
  }

  private async find(findingId: string, permission: Permission, ctx: BusContext): Promise<Result<DriftFinding>> {
    const who = whoOf(ctx);
    const finding = mayAccess(who, 'drift.read', {}) ? await findFinding(this.db, findingId) : undefined;
    if (finding === undefined) return NotFound.fail('There is no finding with this id.', { noun: 'drift', id: findingId });
    return mayAccess(who, permission, {}) ? ok(finding) : PermissionDenied.fail(`You lack the right ${permission} on the site.`, { permission });
  }
}
