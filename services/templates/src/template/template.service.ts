// What may be done with templates. A template's disk is its image's read-only volume, so deleting the template takes
// nothing from its VMs, and linked clones keep the image's volume in use.
import { Inject, Injectable } from '@nestjs/common';
import type { DataSource, EntityManager } from 'typeorm';
import type { BusClient, BusContext } from '#bus';
import { createTemplate, deleteTemplate, PermissionDenied, templateChanged, templateDeleted, updateTemplate, VersionConflict, WrongState } from '#contracts';
import type { InputOf, listTemplates, ReplyOf, Template, TemplateId } from '#contracts';
import { allowed, mayAccess, whoOf } from '#database';
import { FaultError, newUuid, orThrow } from '#kernel';
import type { Result } from '#kernel';
import { Bus, Db, foldersMeant, folderStands } from '#service';
import { emit, runCommand } from '#tasks';
import { lockImage } from '../image/image.store.ts';
import { diskSize } from './template.ts';
import { changeTemplate, deleteTemplateRow, findTemplate, insertTemplate, listTemplates as listRows } from './template.store.ts';
import type { TemplateFilter } from './template.store.ts';

const about = (id: string) => ({ noun: 'template', id, read: 'template.read' }) as const;

@Injectable()
export class TemplateService {
  constructor(@Inject(Db) private readonly db: DataSource, @Inject(Bus) private readonly bus: BusClient) {}

  create(input: InputOf<typeof createTemplate>, ctx: BusContext): Promise<Result<Template>> {
    return runCommand(this.db, { ctx, operation: createTemplate, input }, async (tx) => {
      const who = whoOf(ctx);
      if (!mayAccess(who, 'template.write', { folderId: input.folderId })) {
        throw new FaultError(PermissionDenied.fault('You lack the right template.write in this folder.', { permission: 'template.write' }));
      }
      orThrow(await folderStands(this.bus, input.folderId));
      const image = orThrow(allowed(who, 'image.read', await lockImage(tx, input.imageId, 'share'), { noun: 'image', id: input.imageId, read: 'image.read' }));
      if (image.state !== 'ready' || image.volumeId === null || image.virtualBytes === null) {
        throw new FaultError(WrongState.fault(`The image is ${image.state}.`, { state: image.state, allowed: ['ready'] }));
      }
      const { name, description, labels, folderId, cpu, memoryBytes, firmware, bootOrder, diskBus, tpm } = input;
      const id = newUuid();
      await insertTemplate(tx, {
        id, name, description, labels, folderId, imageId: image.id, volumeId: image.volumeId, diskBytes: diskSize(image.virtualBytes),
        hardware: { cpu, memoryBytes, firmware, bootOrder, diskBus, tpm }, ownerId: ctx.actor?.userId ?? null,
      });
      return this.announce(tx, id, ctx);
    });
  }

  update(input: InputOf<typeof updateTemplate>, ctx: BusContext): Promise<Result<Template>> {
    return runCommand(this.db, { ctx, operation: updateTemplate, input }, async (tx) => {
      const template = orThrow(allowed(whoOf(ctx), 'template.write', await findTemplate(tx, input.templateId), about(input.templateId)));
      const version = input.version ?? template.version;
      const met = await changeTemplate(tx, { id: template.id, name: input.name ?? template.name, description: input.description ?? template.description, labels: input.labels ?? template.labels, version });
      if (met === 0) throw new FaultError(VersionConflict.fault('The template was changed meanwhile.', { expected: version, actual: template.version }));
      return this.announce(tx, template.id, ctx);
    });
  }

  delete(input: InputOf<typeof deleteTemplate>, ctx: BusContext): Promise<Result<ReplyOf<typeof deleteTemplate>>> {
    return runCommand(this.db, { ctx, operation: deleteTemplate, input }, async (tx) => {
      const template = orThrow(allowed(whoOf(ctx), 'template.write', await findTemplate(tx, input.templateId), about(input.templateId)));
      await deleteTemplateRow(tx, template.id);
      await emit(tx, templateDeleted, { objectId: template.id, ctx, data: { templateId: template.id, name: template.name } });
      return {};
    });
  }

  async list(input: TemplateFilter, ctx: BusContext): Promise<Result<ReplyOf<typeof listTemplates>>> {
    const folders = await foldersMeant(this.bus, input);
    return folders.ok ? listRows(this.db, whoOf(ctx), { ...input, folderIds: folders.value }) : folders;
  }

  async get(templateId: TemplateId, ctx: BusContext): Promise<Result<Template>> {
    return allowed(whoOf(ctx), 'template.read', await findTemplate(this.db, templateId), about(templateId));
  }

  private async announce(tx: EntityManager, id: string, ctx: BusContext): Promise<Template> {
    const template = await findTemplate(tx, id);
    if (template === undefined) throw new Error('a template vanished inside of a transaction');
    await emit(tx, templateChanged, { objectId: id, ctx, data: { template } });
    return template;
  }
}
