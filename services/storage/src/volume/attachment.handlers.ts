// The bus face of attachments: one call each.
import { Controller, Inject } from '@nestjs/common';
import { Handles } from '#bus';
import type { BusContext } from '#bus';
import { attachVolume, releaseVolume } from '#contracts';
import type { InputOf } from '#contracts';
import { AttachmentService } from './attachment.service.ts';

@Controller()
export class AttachmentHandlers {
  constructor(@Inject(AttachmentService) private readonly attachments: AttachmentService) {}

  @Handles(attachVolume)
  attach(input: InputOf<typeof attachVolume>, ctx: BusContext) { return this.attachments.attach(input, ctx); }

  @Handles(releaseVolume)
  release(input: InputOf<typeof releaseVolume>, ctx: BusContext) { return this.attachments.release(input, ctx); }
}
