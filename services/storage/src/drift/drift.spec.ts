// What is a difference between a datastore's files and storage's rows, and what is not.
import { expect, it } from '@jest/globals';
import type { SurveyedFile } from '#contracts';
import { newUuid } from '#kernel';
import { judgeDatastore, type KnownVolume } from './drift.ts';

const [store, id, other] = [newUuid(), newUuid(), newUuid()];
const file = (over: Partial<SurveyedFile> = {}): SurveyedFile => ({ path: `volumes/${id}.qcow2`, kind: 'volume', id, sizeBytes: 7, modifiedMs: 1, kept: false, ...over });
const volume = (over: Partial<KnownVolume> = {}): KnownVolume => ({ id, name: 'data', ready: true, version: 1, ...over });
const judged = (files: SurveyedFile[], volumes: KnownVolume[] = [], uploads: string[] = []) => judgeDatastore(store, files, volumes, new Set(uploads)).map(({ kind, objectId }) => `${kind} ${objectId}`);

it.each<[string, SurveyedFile[], KnownVolume[], string[], string[]]>([
  ['a volume with its file', [file()], [volume()], [], []],
  ['a volume that is being made', [], [volume({ ready: false })], [], []],
  ['its draft and its record', [file({ kind: 'draft', path: 'd' }), file({ kind: 'record', path: 'r' })], [volume({ ready: false })], [], []],
  ['an upload that is open', [file({ kind: 'upload', path: 'u' })], [], [id], []],
  ['a volume’s file without a volume', [file()], [volume({ id: other, ready: false })], [], [`file-unknown volumes/${id}.qcow2`]],
  ['a draft of nobody', [file({ kind: 'draft', path: 'd' })], [], [], ['file-unknown d']],
  ['an upload that nobody has opened', [file({ kind: 'upload', path: 'u' })], [volume({ ready: false })], [], ['file-unknown u']],
  ['a name that nobody gives', [file({ kind: 'foreign', id: null, path: 'volumes/x' })], [], [], ['file-foreign volumes/x']],
  ['a volume without its file', [], [volume()], [], [`file-missing ${id}`]],
  ['a volume whose file lies in quarantine', [file({ kept: true })], [volume()], [], [`file-missing ${id}`]],
  ['a file that nobody knows, in quarantine', [file({ kept: true })], [], [], [`file-unknown volumes/${id}.qcow2`]],
])('%s', (_what, files, volumes, uploads, differences) => expect(judged(files, volumes, uploads)).toEqual(differences));
