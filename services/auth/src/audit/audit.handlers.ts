// Answers about the audit log. It is of the whole site, so a right on a part of it does not open it.
import { Controller, Inject } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import { Handles } from '#bus';
import type { BusContext } from '#bus';
import { listAudit, mayAccess, PermissionDenied, verifyAudit } from '#contracts';
import type { InputOf, ReplyOf } from '#contracts';
import { whoOf } from '#database';
import { ok } from '#kernel';
import type { Result } from '#kernel';
import { Db } from '#service';
import type { MasterKey } from '../keys/seal.ts';
import { Master } from '../tokens.ts';
import { pageOfAudit, verifyStretch } from './audit.store.ts';

const permission = 'audit.read';

@Controller()
export class AuditHandlers {
  constructor(@Inject(Db) private readonly db: DataSource, @Inject(Master) private readonly master: MasterKey) {}

  @Handles(listAudit)
  async list(input: InputOf<typeof listAudit>, ctx: BusContext): Promise<Result<ReplyOf<typeof listAudit>>> {
    if (!mayRead(ctx)) return denied();
    const page = await pageOfAudit(this.db, input);
    return page.ok ? ok({ items: page.value.rows, next: page.value.next }) : page;
  }

  @Handles(verifyAudit)
  async verify(input: InputOf<typeof verifyAudit>, ctx: BusContext): Promise<Result<ReplyOf<typeof verifyAudit>>> {
    return mayRead(ctx) ? ok(await verifyStretch(this.db, this.master, input)) : denied();
  }
}

const mayRead = (ctx: BusContext): boolean => mayAccess(whoOf(ctx), permission, {});
const denied = (): Result<never> => PermissionDenied.fail('You lack the right audit.read on the site.', { permission });
