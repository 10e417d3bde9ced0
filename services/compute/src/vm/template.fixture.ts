// The template that VMs of the tests are made from.
import { getTemplate, type Template } from '#contracts';
import { newUuid } from '#kernel';

const MiB = 1024 * 1024;

export function templateOf(): Template {
  const now = new Date().toISOString();
  return getTemplate.reply.parse({
    id: newUuid(), name: 'template', description: '', labels: {}, imageId: newUuid(), volumeId: newUuid(), diskBytes: 8 * MiB,
    hardware: { cpu: { sockets: 1, cores: 2, threads: 1 }, memoryBytes: 128 * MiB, firmware: 'bios', bootOrder: ['disk', 'network'], diskBus: 'virtio', tpm: 'none' },
    number: 1, version: 1, createdAt: now, updatedAt: now, ownerId: null, folderId: null,
  });
}
