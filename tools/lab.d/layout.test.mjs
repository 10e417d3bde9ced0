import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HOST_NAMES, cacheDir, labDir, labNames, labPaths, labTag, reachableDir, whyDirectoryUnusable } from './layout.mjs';

test('a lab directory always gets the same tag, another directory another one', () => {
  assert.match(labTag('/srv/one/.lab'), /^[0-9a-f]{4}$/);
  assert.equal(labTag('/srv/one/.lab'), labTag('/srv/one/x/../.lab'));
  assert.notEqual(labTag('/srv/one/.lab'), labTag('/srv/two/.lab'));
});

test('interface names keep to the 15 characters that Linux allows', () => {
  const names = labNames('abcd');
  for (const host of HOST_NAMES) assert.ok(names.trunkPort(host).length <= 15, names.trunkPort(host));
});

test('a lab knows its own namespaces and control groups from those of another lab', () => {
  const names = labNames('abcd');
  assert.ok(names.isNamespace(names.uplinkNamespace));
  assert.ok(HOST_NAMES.every((host) => names.isNamespace(names.hostNamespace(host)) && names.isCgroup(names.cgroup(host))));
  assert.ok(!names.isNamespace(labNames('abce').uplinkNamespace));
  assert.ok(!names.isCgroup(labNames('abce').cgroup('host1')));
});

test('everything of a lab lies beneath its directory', () => {
  const paths = labPaths('/srv/lab');
  const places = [...Object.values(paths).filter((value) => typeof value === 'string'), ...Object.values(paths.host('host1'))];
  assert.ok(places.every((path) => path === '/srv/lab' || path.startsWith('/srv/lab/')));
});

test('a directory is refused when a socket path inside would be too long', () => {
  assert.equal(whyDirectoryUnusable('/srv/lab'), undefined);
  assert.match(whyDirectoryUnusable(`/${'x'.repeat(60)}`), /TOK_LAB_DIR/);
});

test('the environment moves the lab and its cache', () => {
  assert.equal(labDir({ TOK_LAB_DIR: '/srv/a' }), '/srv/a');
  assert.equal(cacheDir({ TOK_LAB_CACHE: '/srv/c' }), '/srv/c');
  assert.equal(cacheDir({ XDG_CACHE_HOME: '/srv/x' }), '/srv/x/tokamak');
});

test('a lab goes elsewhere where QEMU or its sockets could not follow', () => {
  assert.equal(reachableDir('/.lab', 'tokamak'), '/.lab');
  assert.match(reachableDir(`/srv/${'deep/'.repeat(20)}.lab`, 'tokamak'), /^\/var\/tmp\/tokamak-\d+-[0-9a-f]{4}$/);
  assert.match(reachableDir('/srv/my clone/.lab', 'tokamak'), /^\/var\/tmp\/tokamak-/);
});
