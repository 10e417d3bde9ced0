// Answers which keys actor tokens are signed with.
import { Controller, Inject } from '@nestjs/common';
import { Handles } from '#bus';
import { signingKeys } from '#contracts';
import type { ReplyOf } from '#contracts';
import { KeyRing } from './key-ring.store.ts';

@Controller()
export class KeyHandlers {
  constructor(@Inject(KeyRing) private readonly ring: KeyRing) {}

  @Handles(signingKeys)
  list(): Promise<ReplyOf<typeof signingKeys>> {
    return Promise.resolve({ keys: this.ring.list() });
  }
}
