// What lies on a datastore, against the volumes and uploads that storage has on it: whether that is a difference, and which. Pure.
import type { Difference, SurveyedFile } from '#contracts';

export interface KnownVolume {
  readonly id: string;
  readonly name: string;
  /** Its file must be there. */
  readonly ready: boolean;
  readonly version: number;
}

const what = { volume: 'a volume’s file', draft: 'the draft of a volume', record: 'what was noted of an image', upload: 'an upload', foreign: '' } as const;

/** A file that somebody writes to is another at the next look: size and time are part of its evidence. */
export function judgeDatastore(datastoreId: string, files: readonly SurveyedFile[], volumes: readonly KnownVolume[], uploads: ReadonlySet<string>): Difference[] {
  const known = new Map(volumes.map((volume) => [volume.id, volume]));
  const has = ({ kind, id }: SurveyedFile): boolean => id !== null && (kind === 'upload' ? uploads.has(id) : known.has(id));
  const strange = files.filter((file) => !has(file));
  const inPlace = new Set(files.filter(({ kind, kept }) => kind === 'volume' && !kept).map(({ id }) => id));
  const kept = new Map(files.filter((file) => file.kind === 'volume' && file.kept).map(({ id, path }) => [id, path]));
  return [
    ...strange.map((file): Difference => (file.kind === 'foreign' ? foreign(datastoreId, file) : unknown(datastoreId, file))),
    ...volumes.filter(({ id, ready }) => ready && !inPlace.has(id)).map((volume) => missing(datastoreId, volume, kept.get(volume.id))),
  ];
}

const unknown = (datastoreId: string, { path, kind, id, sizeBytes, modifiedMs, kept }: SurveyedFile): Difference => ({
  kind: 'file-unknown', objectId: path, text: `${path} is ${what[kind]} of ${sizeBytes} bytes, and storage knows nothing of it`,
  evidence: { datastoreId, path, file: kind, sizeBytes, modifiedMs }, touches: id === null ? [] : [id], kept,
});

const foreign = (datastoreId: string, { path, sizeBytes, modifiedMs, kept }: SurveyedFile): Difference => ({
  kind: 'file-foreign', objectId: path, text: `${path} lies among the volumes, and nobody here gives such a name`, evidence: { datastoreId, path, sizeBytes, modifiedMs }, kept,
});

const missing = (datastoreId: string, { id, name, version }: KnownVolume, kept: string | undefined): Difference => ({
  kind: 'file-missing', objectId: id, objectName: name, text: kept === undefined ? `the file of the volume ${name} is not there` : `the file of the volume ${name} lies in quarantine`,
  evidence: { datastoreId, version, kept: kept ?? null },
});
