// Which VM has a volume. The row lock decides between two that want one volume; a volume is nobody's again only when its
// VM's task says so, after the host has let it go.
import { Inject, Injectable } from '@nestjs/common';
import type { DataSource, EntityManager } from 'typeorm';
import type { BusContext } from '#bus';
import { attachVolume, InUse, NotFound, releaseVolume, volumeChanged } from '#contracts';
import type { InputOf, ReplyOf, Volume } from '#contracts';
import { FaultError } from '#kernel';
import type { Result } from '#kernel';
import { Db } from '#service';
import { emit, runCommand } from '#tasks';
import { attachRefusal, volumeView } from './volume.ts';
import { lockVolume, required, setAttached, usersOf } from './volume.store.ts';

@Injectable()
export class AttachmentService {
  constructor(@Inject(Db) private readonly db: DataSource) {}

  attach(input: InputOf<typeof attachVolume>, ctx: BusContext): Promise<Result<ReplyOf<typeof attachVolume>>> {
    return runCommand(this.db, { ctx, operation: attachVolume, input }, async (tx) => {
      const volume = await lockVolume(tx, input.volumeId, 'update');
      if (volume === undefined) return NotFound.fail('There is no volume with this id.', { noun: 'volume', id: input.volumeId });
      const refused = attachRefusal(volume, input.vmId);
      if (refused) throw new FaultError(refused);
      if (volume.attachedTo === input.vmId) return volumeView(volume);
      // A VM writes to its volume: nothing may lie over it, and nothing may read it meanwhile.
      const users = await usersOf(tx, volume.id);
      if (users.length > 0) return InUse.fail('Other volumes lie over this one or are being copied from it.', { by: users.map((id) => ({ noun: 'volume', id })) });
      return this.change(tx, ctx, input.volumeId, input.vmId);
    });
  }

  release(input: InputOf<typeof releaseVolume>, ctx: BusContext): Promise<Result<ReplyOf<typeof releaseVolume>>> {
    return runCommand(this.db, { ctx, operation: releaseVolume, input }, async (tx) => {
      const volume = await lockVolume(tx, input.volumeId, 'update');
      if (volume?.attachedTo === input.vmId) await this.change(tx, ctx, volume.id, null);
      return {};
    });
  }

  private async change(tx: EntityManager, ctx: BusContext, volumeId: string, vmId: string | null): Promise<Volume> {
    await setAttached(tx, volumeId, vmId);
    const volume = volumeView(await required(tx, volumeId));
    await emit(tx, volumeChanged, { objectId: volumeId, ctx, data: { volume } });
    return volume;
  }
}
