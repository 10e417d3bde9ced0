// Brings up the lab that the e2e and fault tests run against: a pool of its own with three hosts, and what every test
// needs in it (a template, two VLANs). With TOK_TEST_KEEP=1 a lab that is up already is used again and left up.
import { rmSync } from 'node:fs';
import { ensureGuest } from '../../tools/guest/build-guest.mjs';
import { ensureTemplate, prepareSite, signIn } from '../../tools/lab.d/demo.mjs';
import { reset } from '../../tools/lab.d/down.mjs';
import { openLab } from '../../tools/lab.d/lab.mjs';
import { withLock } from '../../tools/lab.d/lock.mjs';
import { updateRecord } from '../../tools/lab.d/record.mjs';
import { up } from '../../tools/lab.d/up.mjs';
import { testLabDir, traceFile } from './place.mjs';

export const keepsLab = () => process.env.TOK_TEST_KEEP === '1';
const say = (text) => process.stderr.write(`test lab: ${text}\n`);

/** A second VLAN with the addresses of the first: who reaches across cannot have been routed. */
const OTHER = { vlan: 200, name: 'vlan200', cidr: '10.100.0.0/24', range: { from: '10.100.0.10', to: '10.100.0.250' } };

export default async function setup() {
  const dir = testLabDir();
  process.env.TOK_LAB_DIR = dir;
  process.env.TOK_TRACE_FILE ??= traceFile(dir);
  const lab = await openLab(dir, { say });
  globalThis.tokTestLab = lab; // before the first start, so that a setup that fails halfway is cleaned up too
  try {
    await withLock(lab.paths.lockFile, async () => {
      if (!keepsLab()) await reset(lab);
      const fresh = await openLab(dir, { say });
      await up(fresh, { only: 'no-demo' });
      await furnish(fresh);
    }, { waitMs: 120_000 });
  } catch (error) {
    if (!keepsLab()) await removeLab(lab);
    throw error;
  }
}

/** Ends all that the lab started and removes its data. */
export async function removeLab(lab) {
  await reset(lab);
  rmSync(lab.dir, { recursive: true, force: true });
}

async function furnish(lab) {
  const rest = await signIn(lab);
  const site = await prepareSite(lab, rest);
  const [template, other] = await Promise.all([
    ensureGuest(lab).then((guestImage) => { updateRecord(lab, { guestImage }); return ensureTemplate(rest, { ...site, guestImage }); }),
    otherVlan(rest, site.network.switchId),
  ]);
  updateRecord(lab, { template: { id: template.id, name: template.name, imageId: template.imageId }, otherNetwork: other });
}

async function otherVlan(rest, switchId) {
  const portGroup = (await rest.named('port-groups', OTHER.name)) ?? (await rest.post('/v1/port-groups', { switchId, name: OTHER.name, vlan: OTHER.vlan }));
  const subnet = (await rest.named('subnets', OTHER.name)) ?? (await rest.post('/v1/subnets', { portGroupId: portGroup.id, name: OTHER.name, cidr: OTHER.cidr, range: OTHER.range }));
  return { portGroupId: portGroup.id, subnetId: subnet.id, vlan: OTHER.vlan, cidr: OTHER.cidr };
}
