// The lab's "physical network": one switch in a namespace of its own with a trunk to each host, and router legs
// on its VLANs, so that whoever runs the lab can reach the VMs the way the outside world would.
import { mkdirSync } from 'node:fs';
import { ensureNamespace, inside } from './namespaces.mjs';
import { startOvs, stopOvs, vsctl } from './ovs.mjs';
import { run, succeeds } from './run.mjs';

const BRIDGE = 'phys';
export const UPLINK_SWITCH = 'uplink';

/** `lab` is { paths, names, processes } of the lab. */
export async function startUplink({ paths, names, processes }) {
  mkdirSync(paths.uplinkSwitch, { recursive: true });
  await ensureNamespace(names.uplinkNamespace);
  await startOvs({ dir: paths.uplinkSwitch, namespace: names.uplinkNamespace, name: UPLINK_SWITCH, processes });
  await vsctl(paths.uplinkSwitch, ['--may-exist', 'add-br', BRIDGE, '--', 'set', 'bridge', BRIDGE, 'datapath_type=netdev']);
  await restoreLegs({ paths, names });
}

export function stopUplink({ processes }) {
  return stopOvs({ name: UPLINK_SWITCH, processes });
}

/** Plugs a host's cable into the switch as a trunk of all VLANs. The switch holds on to a cable's device, so a new one is plugged in anew. */
export async function plugTrunk({ paths }, port, { isNew }) {
  if (isNew) await vsctl(paths.uplinkSwitch, ['--if-exists', 'del-port', BRIDGE, port]);
  await vsctl(paths.uplinkSwitch, ['--may-exist', 'add-port', BRIDGE, port]);
}

export function legName(vlan) {
  return `leg${vlan}`;
}

/**
 * A router's leg: an address on a VLAN (0: untagged) of the physical network, such as (100, '10.10.0.1/24').
 * It stays over restarts of the lab. Returns the interface's name in the uplink namespace.
 */
export async function addRouterLeg({ paths, names }, vlan, cidr) {
  const leg = legName(vlan);
  await vsctl(paths.uplinkSwitch, [
    '--may-exist', 'add-port', BRIDGE, leg, '--', 'set', 'port', leg, vlan === 0 ? 'tag=[]' : `tag=${vlan}`, `external_ids:lab-cidr=${cidr}`,
    '--', 'set', 'interface', leg, 'type=internal',
  ]);
  await run(['ip', '-n', names.uplinkNamespace, 'address', 'replace', cidr, 'dev', leg]);
  await run(['ip', '-n', names.uplinkNamespace, 'link', 'set', leg, 'up']);
  return leg;
}

export async function removeRouterLeg({ paths }, vlan) {
  await vsctl(paths.uplinkSwitch, ['--if-exists', 'del-port', BRIDGE, legName(vlan)]);
}

/** The switch remembers its legs, their addresses died with the namespace. */
async function restoreLegs(lab) {
  const rows = JSON.parse(await vsctl(lab.paths.uplinkSwitch, ['--format=json', '--columns=name,tag,external_ids', 'list', 'port'])).data;
  for (const [name, tag, [, externalIds]] of rows) {
    const cidr = new Map(externalIds).get('lab-cidr');
    if (cidr && name.startsWith('leg')) await addRouterLeg(lab, typeof tag === 'number' ? tag : 0, cidr);
  }
}

/** Whether the address answers a ping from the physical network within `withinMs`. */
export function pingFromUplink({ names }, ip, { withinMs = 5_000 } = {}) {
  const seconds = Math.max(1, Math.ceil(withinMs / 1000));
  return succeeds(inside(names.uplinkNamespace, ['ping', '-n', '-c', '1', '-W', '1', '-w', String(seconds), ip]), { timeoutMs: withinMs + 2_000 });
}

/** Runs a command on the physical network; resolves with its output. */
export function runOnUplink({ names }, argv, options) {
  return run(inside(names.uplinkNamespace, argv), options);
}
