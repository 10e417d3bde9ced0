import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cpioArchive } from './cpio.mjs';

test('an archive holds parents before their files, padded to four bytes, and ends with the trailer', () => {
  const text = cpioArchive([{ path: 'bin/sh', type: 'file', data: 'abc', mode: 0o755 }, { path: 'bin/ls', type: 'link', data: 'sh' }]);
  assert.equal(text.length % 4, 0);
  const names = [...text.toString('latin1').matchAll(/070701[0-9a-f]{104}([^\0]+)\0/g)].map((match) => match[1]);
  assert.deepEqual(names, ['bin', 'bin/sh', 'bin/ls', 'TRAILER!!!']);
  assert.ok(text.includes('000081ed'), 'a regular file of mode 755');
  assert.ok(text.includes('0000a1ff'), 'a symbolic link');
});

test('equal entries give equal bytes', () => {
  const entries = [{ path: 'a', type: 'file', data: 'x' }];
  assert.deepEqual(cpioArchive(entries), cpioArchive(entries));
});
