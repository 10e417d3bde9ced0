// The bus face of uploads: one call each.
import { Controller, Inject } from '@nestjs/common';
import { Handles } from '#bus';
import type { BusContext } from '#bus';
import { discardUpload, openUpload, writeUpload } from '#contracts';
import type { InputOf } from '#contracts';
import { UploadService } from './upload.service.ts';

@Controller()
export class UploadHandlers {
  constructor(@Inject(UploadService) private readonly uploads: UploadService) {}

  @Handles(openUpload)
  open(input: InputOf<typeof openUpload>, ctx: BusContext) { return this.uploads.open(input, ctx); }

  @Handles(writeUpload)
  write(input: InputOf<typeof writeUpload>, ctx: BusContext) { return this.uploads.write(input, ctx); }

  @Handles(discardUpload)
  discard(input: InputOf<typeof discardUpload>, ctx: BusContext) { return this.uploads.discard(input, ctx); }
}
