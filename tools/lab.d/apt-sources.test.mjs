import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseDependencies } from './apt-download.mjs';
import { debianMirror, parseDeb822, parseOneLine } from './apt-sources.mjs';

const DEB822 = `# a comment
Types: deb deb-src
# another
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main
`;

test('deb822: stanzas, folded fields, comments; disabled ones are left out', () => {
  const entries = parseDeb822(DEB822);
  assert.equal(entries.length, 2);
  assert.deepEqual(entries[0].types, ['deb', 'deb-src']);
  assert.deepEqual(entries[0].suites, ['bookworm', 'bookworm-updates']);
  assert.equal(entries[1].signedBy, '/usr/share/keyrings/debian-archive-keyring.gpg');
});

test('one-line: options, comments, source lines', () => {
  const entries = parseOneLine(`# deb http://commented.example/ x main
deb [arch=amd64 signed-by=/k.gpg] https://other.example/apt stable main # vendor
deb-src http://mirror.example/debian bookworm main
deb http://mirror.example/debian bookworm main contrib`);
  assert.equal(entries.length, 3);
  assert.equal(entries[0].signedBy, '/k.gpg');
  assert.deepEqual(entries[0].components, ['main']);
  assert.deepEqual(entries[2].components, ['main', 'contrib']);
});

test('the mirror is that of the running release, not a vendor, security or source entry', () => {
  const entries = [
    ...parseOneLine('deb https://other.example/apt stable main\ndeb-src http://sources.example/debian bookworm main'),
    ...parseDeb822(DEB822),
  ];
  assert.equal(debianMirror(entries, 'bookworm'), 'http://mirror.example/debian');
  assert.equal(debianMirror(entries, 'sid'), 'http://mirror.example/debian', 'by the archive’s usual name when the release is not named');
  assert.equal(debianMirror([], 'bookworm'), undefined);
});

test('dependencies are read per package, alternatives included', () => {
  const needs = parseDependencies(`qemu-guest-agent
  PreDepends: init-system-helpers
 |Depends: libc6
  Depends: libglib2.0-0
    libglib2.0-0t64
libglib2.0-0
  Depends: libc6
`);
  assert.deepEqual(needs.get('qemu-guest-agent'), ['init-system-helpers', 'libc6', 'libglib2.0-0']);
  assert.deepEqual(needs.get('libglib2.0-0'), ['libc6']);
});
