// Images (bytes to copy from) and templates (a VM to copy from).
import { z } from 'zod';
import { defineCommand, defineEvent, defineQuery } from '../define.ts';
import { Busy, HostNotConnected, HostUnreachable, ImageRefused, InUse, NameTaken, NotFound, VersionConflict, WrongState, DatastoreFull } from '../errors.ts';
import { DatastoreId, FolderId, ImageId, TemplateId, UploadId, VolumeId } from '../ids.ts';
import { folderFilter, labelInput, listInput, searchInput } from '../list.ts';
import { Bytes, Description, Labels, MemoryBytes, Name, ownedFields, pageOf, TaskRef, VolumeBytes, Done } from '../values.ts';
import { BootDevice, CpuTopology, DiskBus, Firmware, Tpm, VolumeFormat } from '../host/shapes.ts';

export const ImageState = z.enum(['awaiting-upload', 'importing', 'ready', 'failed', 'deleting']);
export const Image = z.strictObject({
  id: ImageId, name: Name, description: Description, state: ImageState, format: VolumeFormat, sizeBytes: Bytes.nullable().describe('bytes uploaded'), virtualBytes: Bytes.nullable(),
  sha256: z.string().nullable(), datastoreId: DatastoreId, volumeId: VolumeId.nullable(), uploadId: UploadId.nullable(), reason: z.string().nullable(), ...ownedFields,
}).meta({ id: 'Image' });
export type Image = z.infer<typeof Image>;
export const createImage = defineCommand('templates.image.create', {
  summary: 'Announce an image; then PUT its bytes to /v1/images/{id}/content', http: 'POST /v1/images', permission: 'image.write',
  input: z.strictObject({ name: Name, description: Description.default(''), format: VolumeFormat.default('qcow2'), datastoreId: DatastoreId.optional(), folderId: FolderId.nullable().default(null) }), reply: Image, errors: [NameTaken, NotFound, DatastoreFull, HostNotConnected, HostUnreachable],
});
export const importImage = defineCommand('templates.image.import', {
  summary: 'Check the uploaded bytes in a sandbox and make them a read-only volume', permission: 'image.write', on: 'imageId',
  description: 'Called by the gateway when an upload is complete.',
  input: z.strictObject({ imageId: ImageId, sizeBytes: Bytes, sha256: z.string().regex(/^[0-9a-f]{64}$/) }), reply: TaskRef, errors: [NotFound, WrongState, Busy, ImageRefused],
});
export const listImages = defineQuery('templates.image.list', { summary: 'List images', http: 'GET /v1/images', permission: 'image.read', input: z.strictObject({ ...listInput(Image, ['createdAt', 'name', 'state']), ...searchInput(), name: Name.optional(), state: ImageState.optional(), ...folderFilter }), reply: pageOf(Image) });
export const getImage = defineQuery('templates.image.get', { summary: 'Show an image', http: 'GET /v1/images/:imageId', permission: 'image.read', on: 'imageId', input: z.strictObject({ imageId: ImageId }), reply: Image, errors: [NotFound] });
export const deleteImage = defineCommand('templates.image.delete', { dryRun: true, summary: 'Delete an image that no template uses', http: 'DELETE /v1/images/:imageId', permission: 'image.write', on: 'imageId', input: z.strictObject({ imageId: ImageId }), reply: TaskRef, errors: [NotFound, InUse, Busy] });

export const TemplateHardware = z.strictObject({ cpu: CpuTopology, memoryBytes: MemoryBytes, firmware: Firmware, bootOrder: z.array(BootDevice).min(1).max(3), diskBus: DiskBus, tpm: Tpm.default('none') });
export const Template = z.strictObject({ id: TemplateId, name: Name, description: Description, labels: Labels, imageId: ImageId, volumeId: VolumeId, diskBytes: VolumeBytes, hardware: TemplateHardware, ...ownedFields }).meta({ id: 'Template' });
export type Template = z.infer<typeof Template>;
export const createTemplate = defineCommand('templates.template.create', {
  dryRun: true,
  summary: 'Make a template from an image and the hardware its VMs get', http: 'POST /v1/templates', permission: 'template.write',
  input: z.strictObject({
    name: Name, description: Description.default(''), labels: Labels.default({}), imageId: ImageId, folderId: FolderId.nullable().default(null),
    cpu: CpuTopology.default({ sockets: 1, cores: 1, threads: 1 }), memoryBytes: MemoryBytes.default(512 * 1024 * 1024), firmware: Firmware.default('bios'),
    bootOrder: z.array(BootDevice).min(1).max(3).default(['disk']), diskBus: DiskBus.default('virtio'),
    tpm: Tpm.default('none').describe('`2.0` gives every VM from it a TPM with keys of its own; needs UEFI'),
  }).refine(({ tpm, firmware }) => tpm === 'none' || firmware !== 'bios', { message: 'needs the firmware uefi or uefi-secure', path: ['tpm'] }), reply: Template, errors: [NameTaken, NotFound, WrongState],
});
export const updateTemplate = defineCommand('templates.template.update', { dryRun: true, summary: 'Change name, description or labels of a template', http: 'PATCH /v1/templates/:templateId', permission: 'template.write', on: 'templateId', input: z.strictObject({ templateId: TemplateId, name: Name.optional(), description: Description.optional(), labels: Labels.optional(), version: z.int().optional() }), reply: Template, errors: [NotFound, NameTaken, VersionConflict] });
export const listTemplates = defineQuery('templates.template.list', { summary: 'List templates', http: 'GET /v1/templates', permission: 'template.read', input: z.strictObject({ ...listInput(Template, ['createdAt', 'name']), ...searchInput(), ...labelInput, name: Name.optional(), ...folderFilter }), reply: pageOf(Template) });
export const getTemplate = defineQuery('templates.template.get', { summary: 'Show a template', http: 'GET /v1/templates/:templateId', permission: 'template.read', on: 'templateId', input: z.strictObject({ templateId: TemplateId }), reply: Template, errors: [NotFound] });
export const deleteTemplate = defineCommand('templates.template.delete', { dryRun: true, summary: 'Delete a template; its image and VMs stay', http: 'DELETE /v1/templates/:templateId', permission: 'template.write', on: 'templateId', input: z.strictObject({ templateId: TemplateId }), reply: Done, errors: [NotFound, InUse] });

export const imageChanged = defineEvent('templates.image.changed', { summary: 'An image was announced, imported or changed', data: z.strictObject({ image: Image }) });
export const imageDeleted = defineEvent('templates.image.deleted', { summary: 'An image is gone', data: z.strictObject({ imageId: ImageId, name: Name }) });
export const templateChanged = defineEvent('templates.template.changed', { summary: 'A template was made or changed', data: z.strictObject({ template: Template }) });
export const templateDeleted = defineEvent('templates.template.deleted', { summary: 'A template is gone', data: z.strictObject({ templateId: TemplateId, name: Name }) });
