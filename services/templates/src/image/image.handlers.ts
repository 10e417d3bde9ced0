// The bus face of images: one call each.
import { Controller, Inject } from '@nestjs/common';
import { Handles } from '#bus';
import type { BusContext } from '#bus';
import { createImage, deleteImage, getImage, importImage, listImages } from '#contracts';
import type { InputOf } from '#contracts';
import { ImageService } from './image.service.ts';

@Controller()
export class ImageHandlers {
  constructor(@Inject(ImageService) private readonly images: ImageService) {}

  @Handles(createImage)
  create(input: InputOf<typeof createImage>, ctx: BusContext) { return this.images.create(input, ctx); }

  @Handles(importImage)
  import(input: InputOf<typeof importImage>, ctx: BusContext) { return this.images.import(input, ctx); }

  @Handles(listImages)
  list(input: InputOf<typeof listImages>, ctx: BusContext) { return this.images.list(input, ctx); }

  @Handles(getImage)
  get(input: InputOf<typeof getImage>, ctx: BusContext) { return this.images.get(input.imageId, ctx); }

  @Handles(deleteImage)
  delete(input: InputOf<typeof deleteImage>, ctx: BusContext) { return this.images.delete(input, ctx); }
}
