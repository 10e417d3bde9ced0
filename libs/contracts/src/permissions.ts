// The catalogue of rights and the roles that come with the product.

export const permissions = [
  'user.read', 'user.write', 'role.read', 'role.write', 'grant.read', 'grant.write', 'audit.read',
  'site.read', 'site.write', 'cluster.read', 'cluster.write', 'host.read', 'host.write', 'folder.read', 'folder.write',
  'vm.read', 'vm.create', 'vm.power', 'vm.modify', 'vm.delete', 'vm.console',
  'datastore.read', 'datastore.write', 'volume.read', 'volume.create', 'volume.modify', 'volume.delete',
  'network.read', 'network.write', 'network.use',
  'image.read', 'image.write', 'template.read', 'template.write', 'template.deploy',
  'task.read', 'task.cancel', 'event.read', 'placement.read', 'drift.read', 'drift.write',
  'webhook.read', 'webhook.create', 'webhook.write',
] as const;
export type Permission = (typeof permissions)[number];

/** What the owner of an object may do with it without any grant. */
export const ownerPermissions: readonly Permission[] = [
  'vm.read', 'vm.power', 'vm.modify', 'vm.delete', 'vm.console',
  'volume.read', 'volume.modify', 'volume.delete', 'image.read', 'image.write', 'template.read', 'template.write', 'template.deploy',
  'task.read', 'task.cancel', 'event.read', 'webhook.read', 'webhook.write',
];

const reading = permissions.filter((name) => name.endsWith('.read') && !['user.read', 'role.read', 'grant.read', 'audit.read', 'webhook.read'].includes(name));

/** Built-in roles; they cannot be changed or deleted. */
export const builtinRoles: Readonly<Record<string, readonly Permission[]>> = {
  administrator: permissions,
  // Others' webhooks carry what their owners may see.
  operator: permissions.filter((name) => !/^(user|role|grant|audit)\.|^webhook\.(read|write)$/.test(name)),
  'vm-user': ['vm.read', 'vm.create', 'vm.power', 'vm.modify', 'vm.delete', 'vm.console', 'volume.read', 'volume.create', 'volume.modify', 'volume.delete', 'cluster.read', 'folder.read', 'datastore.read', 'network.read', 'network.use', 'template.read', 'template.deploy', 'image.read', 'task.read', 'task.cancel', 'event.read', 'webhook.create'],
  viewer: reading,
};
