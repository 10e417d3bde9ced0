// What lies on a datastore, as a host that sees it tells: page by page, as there may be more than one message holds.
import type { BusClient, CallOptions } from '#bus';
import { HostCommandFailed, hostDatastoreScan, hostDatastoreSurvey, type DatastoreId, type HostId, type ReplyOf } from '#contracts';
import { ok, type Result } from '#kernel';

type Asking = Pick<BusClient, 'requestHost'>;
interface Page<T> { readonly files: readonly T[]; readonly next: string | null }
type Scanned = ReplyOf<typeof hostDatastoreScan>['files'][number];
type Surveyed = ReplyOf<typeof hostDatastoreSurvey>['files'][number];

/** The volume files. */
export const scanDatastore = (bus: Asking, hostId: HostId, path: string, options: CallOptions): Promise<Result<Scanned[]>> =>
  allPages((after) => bus.requestHost(hostId, hostDatastoreScan, { path, after }, options));

/** Whether there is a volume file at all; asks no further than to the first. */
export async function holdsVolumes(bus: Asking, hostId: HostId, path: string, options: CallOptions): Promise<Result<boolean>> {
  const first = await allPages((after) => bus.requestHost(hostId, hostDatastoreScan, { path, after }, options), (files) => files.length > 0);
  return first.ok ? ok(first.value.length > 0) : first;
}

/** Every file, also those in quarantine. */
export const surveyDatastore = (bus: Asking, hostId: HostId, { id, path }: { readonly id: DatastoreId; readonly path: string }, options: CallOptions): Promise<Result<Surveyed[]>> =>
  allPages((after) => bus.requestHost(hostId, hostDatastoreSurvey, { datastoreId: id, path, after }, options));

/** All or a fault, since a part would look as if the rest were gone; or as many as are enough to know. */
async function allPages<T>(ask: (after: string) => Promise<Result<Page<T>>>, areEnough: (files: readonly T[]) => boolean = () => false): Promise<Result<T[]>> {
  const files: T[] = [];
  for (let after = '';;) {
    const told = await ask(after);
    if (!told.ok) return told;
    files.push(...told.value.files);
    const { next } = told.value;
    if (next === null || areEnough(files)) return ok(files);
    if (next <= after) return HostCommandFailed.fail('The host tells the same files again and again.', { reason: 'no-progress' });
    after = next;
  }
}
