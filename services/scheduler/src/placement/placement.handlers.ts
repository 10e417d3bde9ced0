// The operations of placement, claims and capacity on the bus.
import { Controller, Inject } from '@nestjs/common';
import type { DataSource, EntityManager } from 'typeorm';
import { Handles, decided, type BusContext } from '#bus';
import { HostUnreachable, NoCapacity, NotFound, claimPlacement, explainPlacement, listCapacity, listClaims, releaseClaim, resizeClaim, type InputOf, type ReplyOf } from '#contracts';
import { whoOf, mayAccess } from '#database';
import { ok, sizeText, type Result } from '#kernel';
import { Db } from '#service';
import { runCommand } from '#tasks';
import { hostViews, pageOfCapacity } from '../capacity/capacity.store.ts';
import { claimOfVm, dropClaim, pageOfClaims, resizeReserved, takeClaim, type ClaimValue } from '../claim/claim.store.ts';
import { decide, refuseReservation, silentCandidates, wordsOfPlacement, type Decision, type HostView } from './placement.ts';

@Controller()
export class PlacementHandlers {
  constructor(@Inject(Db) private readonly db: DataSource) {}

  @Handles(claimPlacement) claim(input: InputOf<typeof claimPlacement>, ctx: BusContext) {
    return runCommand(this.db, { ctx, operation: claimPlacement, input }, (tx) => place(tx, input, ctx));
  }

  @Handles(releaseClaim) release(input: InputOf<typeof releaseClaim>, ctx: BusContext) {
    return runCommand(this.db, { ctx, operation: releaseClaim, input }, async (tx) => {
      const claim = await dropClaim(tx, input.vmId, { ctx });
      if (claim) decided(ctx, `${claim.vcpus} vCPUs and ${sizeText(claim.memoryBytes)} of memory on its host are free again`, { hostId: claim.hostId, vcpus: claim.vcpus, memoryBytes: claim.memoryBytes });
      return {};
    });
  }

  @Handles(resizeClaim) resize(input: InputOf<typeof resizeClaim>, ctx: BusContext) {
    return runCommand(this.db, { ctx, operation: resizeClaim, input }, (tx) => resize(tx, input, ctx));
  }

  @Handles(explainPlacement) async explain(input: InputOf<typeof explainPlacement>, ctx: BusContext): Promise<ReplyOf<typeof explainPlacement>> {
    const who = whoOf(ctx);
    const visible = (await hostViews(this.db)).filter((host) => mayAccess(who, 'placement.read', { id: host.hostId, clusterId: host.clusterId }));
    return decide(visible, input) as ReplyOf<typeof explainPlacement>;
  }

  @Handles(listClaims) claims(input: InputOf<typeof listClaims>, ctx: BusContext) { return pageOfClaims(this.db, whoOf(ctx), input); }
  @Handles(listCapacity) capacity(input: InputOf<typeof listCapacity>, ctx: BusContext) { return pageOfCapacity(this.db, whoOf(ctx), input); }
}

type Placed = ReplyOf<typeof claimPlacement>;

/** A claim that still fits is kept; else the best host with room is taken, in the order of the decision. */
async function place(tx: EntityManager, input: InputOf<typeof claimPlacement>, ctx: BusContext): Promise<Result<Placed> | Placed> {
  const held = await claimOfVm(tx, input.vmId);
  if (held && fits(held, input, await decideBeside(tx, input, held))) {
    decided(ctx, 'it keeps the capacity that it holds', { hostId: held.hostId });
    return { claim: held, refusals: [] };
  }
  if (held) await dropClaim(tx, input.vmId, { ctx });
  const hosts = await hostViews(tx);
  const { candidates, refusals } = decide(hosts, input);
  ctx.dryRun?.decided(...wordsOfPlacement(input, { candidates, refusals }));
  for (const { hostId, hostName } of candidates) {
    const claim = await takeClaim(tx, hostId, input.vmId, input.demand, { ctx });
    if (claim) return { claim, refusals };
    refusals.push({ hostId: hostId as ClaimValue['hostId'], hostName, reason: 'memory', text: 'was filled by others a moment ago' });
  }
  const words = refusals.map((refusal) => `${refusal.hostName} ${refusal.text}`).join('; ');
  const [silent] = silentCandidates(hosts, input);
  if (silent) return HostUnreachable.fail(`No host can take the VM now: ${words}. A host that does not respond would.`, { hostId: silent.hostId });
  return NoCapacity.fail(refusals.length === 0 ? 'No host is registered in the cluster.' : `No host can take the VM: ${words}.`, { refusals });
}

async function resize(tx: EntityManager, input: InputOf<typeof resizeClaim>, ctx: BusContext): Promise<Result<ClaimValue>> {
  const held = await claimOfVm(tx, input.vmId);
  if (!held) return NotFound.fail('The VM holds no capacity.', { noun: 'claim', id: input.vmId });
  const resized = await resizeReserved(tx, held, input, { ctx });
  if (resized) return ok(resized);
  const host = (await hostViews(tx)).find(({ hostId }) => hostId === held.hostId);
  const refusal = host && refuseReservation(without(host, held), input);
  return NoCapacity.fail(`The host cannot reserve so much: ${refusal ? `${refusal.hostName} ${refusal.text}` : 'it is not registered'}.`, { refusals: refusal ? [refusal] : [] });
}

/** As if the claim were not held. */
const decideBeside = async (tx: EntityManager, input: InputOf<typeof claimPlacement>, held: ClaimValue): Promise<Decision> =>
  decide((await hostViews(tx)).map((host) => (held.hostId === host.hostId ? without(host, held) : host)), input);

/** The host as it would be if the claim were not held. */
const without = (host: HostView, claim: ClaimValue): HostView => ({
  ...host, vcpusClaimed: host.vcpusClaimed - claim.vcpus, memoryClaimed: host.memoryClaimed - claim.memoryBytes,
  cpuReserved: host.cpuReserved - claim.cpuReservedMhz, memoryReserved: host.memoryReserved - claim.memoryReservedBytes,
});

const fits = (held: ClaimValue, { demand }: InputOf<typeof claimPlacement>, { candidates }: Decision): boolean =>
  held.vcpus === demand.vcpus && held.memoryBytes === demand.memoryBytes && held.cpuReservedMhz === demand.cpuReservedMhz && held.memoryReservedBytes === demand.memoryReservedBytes
  && candidates.some((candidate) => candidate.hostId === held.hostId);
