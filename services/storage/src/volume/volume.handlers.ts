// The bus face of volumes: one call each.
import { Controller, Inject } from '@nestjs/common';
import { Handles, OnReport } from '#bus';
import type { BusContext } from '#bus';
import {
  copyVolume, createVolume, deleteVolume, discardImageVolume, discardVolume, getVolume, hostVolumeProgress, ingestVolume, keepVolume, listVolumes, placesOfVolumes, provisionVolume, updateVolume,
} from '#contracts';
import type { BodyOf, InputOf } from '#contracts';
import { VolumeService } from './volume.service.ts';

@Controller()
export class VolumeHandlers {
  constructor(@Inject(VolumeService) private readonly volumes: VolumeService) {}

  @Handles(createVolume)
  create(input: InputOf<typeof createVolume>, ctx: BusContext) { return this.volumes.create(input, ctx); }

  @Handles(copyVolume)
  copy(input: InputOf<typeof copyVolume>, ctx: BusContext) { return this.volumes.copy(input, ctx); }

  @Handles(listVolumes)
  list(input: InputOf<typeof listVolumes>, ctx: BusContext) { return this.volumes.list(input, ctx); }

  @Handles(getVolume)
  get(input: InputOf<typeof getVolume>, ctx: BusContext) { return this.volumes.get(input.volumeId, ctx); }

  @Handles(deleteVolume)
  delete(input: InputOf<typeof deleteVolume>, ctx: BusContext) { return this.volumes.delete(input, ctx); }

  @Handles(updateVolume)
  update(input: InputOf<typeof updateVolume>, ctx: BusContext) { return this.volumes.update(input, ctx); }

  @Handles(keepVolume)
  keep(input: InputOf<typeof keepVolume>, ctx: BusContext) { return this.volumes.keep(input, ctx); }

  @Handles(provisionVolume)
  provision(input: InputOf<typeof provisionVolume>, ctx: BusContext) { return this.volumes.provision(input, ctx); }

  @Handles(discardVolume)
  discard(input: InputOf<typeof discardVolume>, ctx: BusContext) { return this.volumes.discard(input, ctx); }

  @Handles(discardImageVolume)
  discardImage(input: InputOf<typeof discardImageVolume>, ctx: BusContext) { return this.volumes.discardImage(input, ctx); }

  @Handles(ingestVolume)
  ingest(input: InputOf<typeof ingestVolume>, ctx: BusContext) { return this.volumes.ingest(input, ctx); }

  @Handles(placesOfVolumes)
  places(input: InputOf<typeof placesOfVolumes>) { return this.volumes.places(input); }

  @OnReport(hostVolumeProgress)
  progress(body: BodyOf<typeof hostVolumeProgress>): Promise<void> { return this.volumes.showProgress(body); }
}
