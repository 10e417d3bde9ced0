// The platform's main job, done through its public REST interface only: three hosts, shared storage, a switch with a
// VLAN, an image, a template, and a VM that answers a ping. Each step looks for its object by name first, so the
// demo can be repeated, and goes on where an earlier run stopped.
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { SECRET, readJson, writeJson } from './files.mjs';
import { hostIdentities } from './hosts.mjs';
import { updateRecord } from './record.mjs';
import { restClient } from './rest.mjs';
import { addRouterLeg, pingFromUplink } from './uplink.mjs';

const MIB = 1024 * 1024;
const NAMES = { cluster: 'lab', datastore: 'shared', switch: 'lab', portGroup: 'vlan100', subnet: 'vlan100', image: 'tiny', template: 'tiny', vm: 'demo' };
const NETWORK = { vlan: 100, cidr: '10.100.0.0/24', gateway: '10.100.0.1', leg: '10.100.0.1/24', range: { from: '10.100.0.10', to: '10.100.0.250' } };

/** Signs in as the first administrator, choosing a new password where the platform asks for one. */
export async function signIn(lab) {
  const rest = restClient(`http://127.0.0.1:${lab.ports.http}`);
  const admin = readJson(lab.paths.adminFile);
  if (!admin) throw new Error(`${lab.paths.adminFile} is missing: the auth service writes it at its first start; see its log with tools/lab logs auth.`);
  const session = await rest.post('/v1/sessions', admin);
  if (!session.user.mustChangePassword) return rest.as(session.accessToken);
  const password = randomBytes(18).toString('base64url');
  await rest.as(session.accessToken).post(`/v1/users/${session.user.id}/set-password`, { currentPassword: admin.password, newPassword: password });
  writeJson(lab.paths.adminFile, { ...admin, password }, SECRET);
  updateRecord(lab, { admin: { ...admin, password } });
  return rest.as((await rest.post('/v1/sessions', { ...admin, password })).accessToken);
}

/** Finds by name or makes; a task that makes it is waited for. */
async function ensure(rest, collection, body) {
  const found = await rest.named(collection, body.name);
  if (found) return found;
  const made = await rest.post(`/v1/${collection}`, body);
  if (!made.taskId) return made;
  await rest.finished(made);
  return rest.get(`/v1/${collection}/${made.objectId}`);
}

/** Hosts, storage and network: everything but the VM. Returns what was found or made; `timed` tells how long each part took. */
export async function prepareSite(lab, rest, timed = (_text, work) => work()) {
  const clusters = (await rest.get('/v1/clusters')).items;
  const cluster = clusters[0] ?? (await ensure(rest, 'clusters', { name: NAMES.cluster }));
  const hosts = hostIdentities(lab);
  for (const { id, name } of hosts) {
    if (!(await rest.named('hosts', name))) await rest.post('/v1/hosts', { hostId: id, name, clusterId: cluster.id });
  }
  await timed('hosts are connected', () => allConnected(rest, hosts));
  const hostIds = hosts.map(({ id }) => id);
  const [datastore, network] = await timed('datastore and network are set up', () => Promise.all([
    ensure(rest, 'datastores', { name: NAMES.datastore, scope: 'shared', path: lab.paths.datastore, hostIds }),
    ensureNetwork(lab, rest, hostIds),
  ]));
  await timed('every host sees the datastore', () => allSee(rest, datastore, hosts));
  updateRecord(lab, { cluster: { id: cluster.id, name: cluster.name }, datastore: { id: datastore.id, name: datastore.name, path: lab.paths.datastore }, network });
  return { cluster, datastore, network };
}

async function ensureNetwork(lab, rest, hostIds) {
  const made = await ensure(rest, 'switches', { name: NAMES.switch, uplinks: hostIds.map((hostId) => ({ hostId, names: ['uplink0'] })) });
  const portGroup = await ensure(rest, 'port-groups', { switchId: made.id, name: NAMES.portGroup, vlan: NETWORK.vlan });
  const subnet = await ensure(rest, 'subnets', { portGroupId: portGroup.id, name: NAMES.subnet, cidr: NETWORK.cidr, gateway: NETWORK.gateway, range: NETWORK.range });
  await addRouterLeg(lab, NETWORK.vlan, NETWORK.leg);
  return { switchId: made.id, portGroupId: portGroup.id, subnetId: subnet.id, vlan: NETWORK.vlan, cidr: NETWORK.cidr, gateway: NETWORK.gateway };
}

/** Compute says that these hosts are connected. */
async function allConnected(rest, hosts) {
  await noneMissing(hosts, async () => (await rest.get('/v1/hosts')).items.filter(({ state }) => state === 'connected').map(({ id }) => id));
}

/** Storage has heard of it too, and takes work on this datastore on each of them. */
async function allSee(rest, datastore, hosts) {
  await noneMissing(hosts, async () => (await rest.get(`/v1/datastores/${datastore.id}`)).hosts.filter(({ connected }) => connected).map(({ hostId }) => hostId));
}

async function noneMissing(hosts, idsThere, withinMs = 30_000) {
  const until = Date.now() + withinMs;
  for (;;) {
    const there = await idsThere();
    const waiting = hosts.filter(({ id }) => !there.includes(id));
    if (waiting.length === 0) return;
    if (Date.now() > until) throw new Error(`Not connected after ${withinMs / 1000} s: ${waiting.map(({ name }) => name).join(', ')}. See tools/lab logs host-agent-${waiting[0].name}.`);
    await sleep(100);
  }
}

/** The guest's image and a template of it. */
export async function ensureTemplate(rest, { datastore, guestImage }) {
  const found = await rest.named('templates', NAMES.template);
  if (found) return found;
  let image = await ensure(rest, 'images', { name: NAMES.image, format: 'qcow2', datastoreId: datastore.id });
  if (image.state === 'awaiting-upload') {
    const answer = await rest.upload(`/v1/images/${image.id}/content`, guestImage);
    if (answer.taskId) await rest.finished(answer);
  }
  image = await imageReady(rest, image.id);
  return ensure(rest, 'templates', { name: NAMES.template, imageId: image.id, memoryBytes: 128 * MIB });
}

async function imageReady(rest, imageId, withinMs = 120_000) {
  const until = Date.now() + withinMs;
  for (;;) {
    const image = await rest.get(`/v1/images/${imageId}`);
    if (image.state === 'ready') return image;
    if (image.state === 'failed') throw new Error(`The image ${image.name} was refused: ${image.reason ?? 'no reason given'}. Delete it, then repeat.`);
    if (Date.now() > until) throw new Error(`The image ${image.name} is still ${image.state} after ${withinMs / 1000} s.`);
    await sleep(100);
  }
}

/** The VM `demo`, running, with an address that answers. After a `down` its QEMU is gone: it is started again. */
export async function ensureDemoVm(lab, rest, { network, template }) {
  let vm = await ensure(rest, 'vms', { name: NAMES.vm, templateId: template.id, nics: [{ portGroupId: network.portGroupId }] });
  const ip = vm.spec.nics[0].ip;
  for (const until = Date.now() + ANSWERS_WITHIN_MS; !(await answersPing(lab, vm)); vm = await rest.get(`/v1/vms/${vm.id}`)) {
    if (RESTS.includes(vm.status.state)) await rest.finished(await rest.post(`/v1/vms/${vm.id}/start`, {}));
    else if (Date.now() > until) throw new Error(`${ip} does not answer a ping after ${ANSWERS_WITHIN_MS / 1000} s; the VM is ${vm.status.state}${vm.status.reason ? ` (${vm.status.reason})` : ''}: look at its console.`);
    else await sleep(200);
  }
  updateRecord(lab, { demo: { vmId: vm.id, name: vm.name, ip, templateId: template.id } });
  return { vm, ip };
}

const ANSWERS_WITHIN_MS = 90_000;
/** States that a start leads out of. */
const RESTS = ['stopped', 'failed'];

const answersPing = (lab, vm) => vm.status.state === 'running' && pingFromUplink(lab, vm.spec.nics[0].ip, { withinMs: 1_000 });

/** All of it, with one line per part. */
export async function runDemo(lab, { guestImage }) {
  const timed = async (text, work) => {
    const started = Date.now();
    const result = await work();
    lab.say(`${text} (${((Date.now() - started) / 1000).toFixed(1)} s)`);
    return result;
  };
  const rest = await signIn(lab);
  const site = await prepareSite(lab, rest, timed);
  const template = await timed('image uploaded and template made', async () => ensureTemplate(rest, { ...site, guestImage: await guestImage }));
  const { vm, ip } = await timed('VM demo runs and answers a ping', () => ensureDemoVm(lab, rest, { ...site, template }));
  return { vm, ip };
}
