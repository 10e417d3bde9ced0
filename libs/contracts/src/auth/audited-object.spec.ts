import { describe, expect, it } from '@jest/globals';
import { createVm, deleteVm, startVm, createConsoleTicket } from '../index.ts';
import { createApiToken, revokeApiToken, revokeBusCredential } from '../index.ts';
import { auditedObject } from './audited-object.ts';

const id = '01890000-0000-7000-8000-000000000001';
const other = '01890000-0000-7000-8000-000000000002';

describe('the object of a request', () => {
  it.each([
    ['is what a task makes', createVm, { clusterId: other }, { taskId: other, objectId: id }, { noun: 'vm', id }],
    ['is what was made', createApiToken, { name: 'x' }, { token: { id, name: 'x' }, secret: 's' }, { noun: 'token', id }],
    ['is what the right is checked on', startVm, { vmId: id }, undefined, { noun: 'vm', id }],
    ['is what the right is checked on, where what was made has no id', createConsoleTicket, { vmId: id, kind: 'vnc' }, { kind: 'vnc' }, { noun: 'vm', id }],
    ['is named in the path', revokeApiToken, { tokenId: id }, {}, { noun: 'token', id }],
    ['is named in the path by another word', revokeBusCredential, { credentialId: id }, {}, { noun: 'bus-credential', id }],
    ['is not known before it is there', createApiToken, { name: 'x' }, undefined, { noun: 'token', id: null }],
    ['is nothing that is no text', deleteVm, { vmId: { id } }, undefined, { noun: 'vm', id: null }],
    ['is nothing in an input that is none', deleteVm, 'vm', undefined, { noun: 'vm', id: null }],
  ])('%s', (_what, operation, input, reply, expected) => {
    expect(auditedObject(operation, input, reply)).toEqual(expected);
  });
});
