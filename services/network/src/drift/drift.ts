// What a host says of its switches and ports, against what the pool has given it: whether that is a difference, and which. Pure.
import type { Difference, hostSwitchSurvey, ReplyOf } from '#contracts';

export type Surveyed = ReplyOf<typeof hostSwitchSurvey>;

/** A switch that the pool has told the host to have, or to forget. */
export interface GivenSwitch {
  readonly switchId: string;
  readonly name: string;
  readonly wanted: boolean;
  /** The host has said that it is so; null = not yet. */
  readonly applied: number | null;
}

const what = { nic: 'a port of a VM', tap: 'a tap without its port', dhcp: 'the port of a DHCP server', foreign: 'a port that nobody here has made' } as const;

/** Whose a port is, the host decides: it knows what runs, and what is just being started. */
const judgePort = ({ ifname, bridge, kind, vmId, nicId, owned }: Surveyed['ports'][number]): Difference[] => (owned ? [] : [{
  kind: kind === 'foreign' ? 'port-foreign' : 'port-stray', objectId: ifname,
  text: `${ifname} is ${what[kind]}${bridge === null ? '' : ` on ${bridge}`}${kind === 'foreign' ? '' : ', and no VM that runs here has it'}`,
  evidence: { ifname, bridge, kind, vmId, nicId }, touches: vmId === null ? [] : [vmId],
}]);

const judgeMissing = ({ vmId, nicId, ifname, tap }: Surveyed['missing'][number]): Difference => ({
  kind: 'port-missing', objectId: nicId, text: `the NIC of the VM ${vmId} has no port ${ifname}${tap ? '' : ', and QEMU has lost its tap'}`, evidence: { vmId, nicId, ifname, tap }, touches: [vmId],
});

const judgeSwitch = (given: ReadonlyMap<string, GivenSwitch>) => ({ switchId, bridge, generation }: Surveyed['switches'][number]): Difference[] => (given.has(switchId) ? [] : [{
  kind: 'switch-unknown', objectId: bridge, text: `the host has the switch ${switchId} as ${bridge}, and the pool has not given it to the host`, evidence: { switchId, bridge, generation }, touches: [switchId],
}]);

const judgeGiven = (seen: ReadonlyMap<string, number>) => ({ switchId, name, wanted, applied }: GivenSwitch): Difference[] => (!wanted || applied === null || seen.get(switchId) === applied ? [] : [{
  kind: 'switch-missing', objectId: switchId, objectName: name, evidence: { switchId, wants: applied, has: seen.get(switchId) ?? null },
  text: seen.has(switchId) ? `the host has generation ${seen.get(switchId) ?? 0} of the switch ${name}, and had said that it has ${applied}` : `the host has no switch ${name}, and had said that it has it`,
}]);

export function judgeHost(told: Surveyed, all: readonly GivenSwitch[]): Difference[] {
  const given = new Map(all.map((one) => [one.switchId, one]));
  const seen = new Map(told.switches.map(({ switchId, generation }) => [switchId, generation]));
  return [...told.ports.flatMap(judgePort), ...told.missing.map(judgeMissing), ...told.switches.flatMap(judgeSwitch(given)), ...all.flatMap(judgeGiven(seen))];
}
