// A user's keys on the bus. A token is signed when the row that it can be revoked by is there, so that no token is ever
// out of reach. The NATS server is told of a revocation right behind its commit; the reconciler tells it where that failed.
import { Inject, Injectable } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import type { BusAuthority, BusContext } from '#bus';
import { AlreadyExists, createBusCredential, InvalidArgument, NotFound, revokeBusCredential, Unauthenticated, Unavailable, userChanged, WrongState } from '#contracts';
import type { Actor, InputOf, listBusCredentials, ReplyOf } from '#contracts';
import { isDuplicate } from '#database';
import type { Queryable } from '#database';
import { FaultError, newUuid, ok } from '#kernel';
import type { Result } from '#kernel';
import { Db } from '#service';
import { emit, runCommand } from '#tasks';
import { Authority, BusServers } from '../tokens.ts';
import { countLive, insertCredential, lockByKey, ownsCredential, pageOfCredentials, renewCredential, revokeCredential } from './bus-credential.store.ts';
import type { BusCredentialObject } from './bus-credential.store.ts';
import { Revocations } from './revocation.reconciler.ts';

const mostPerUser = 20;
type Made = ReplyOf<typeof createBusCredential>;

function actorOf({ actor }: BusContext): Actor {
  if (actor === null) throw new FaultError(Unauthenticated.fault('Keys on the bus belong to users; sign in first.'));
  return actor;
}

async function isInserted(tx: Queryable, row: Parameters<typeof insertCredential>[1]): Promise<boolean> {
  try {
    return (await insertCredential(tx, row)) === 1;
  } catch (error) {
    if (isDuplicate(error)) return false;
    throw error;
  }
}

@Injectable()
export class BusCredentialCommands {
  constructor(
    @Inject(Db) private readonly db: DataSource,
    @Inject(Authority) private readonly authority: BusAuthority | null,
    @Inject(BusServers) private readonly servers: readonly string[],
    @Inject(Revocations) private readonly revocations: Revocations,
  ) {}

  async create(input: InputOf<typeof createBusCredential>, ctx: BusContext): Promise<Result<Made>> {
    const { userId, handle } = actorOf(ctx);
    const { authority } = this;
    if (authority === null) return Unavailable.fail('This site lets no users in to its bus: auth was started without TOK_BUS_AUTHORITY_FILE.', { service: 'bus' });
    if (!authority.isUserKey(input.publicKey)) return InvalidArgument.fail('publicKey: the checksum is wrong.', { issues: [{ path: 'publicKey', message: 'the checksum is wrong' }] });
    // The token is not recorded: a repetition signs the same again, for as long as the row says.
    const made = await runCommand(this.db, { ctx, operation: createBusCredential, input }, async (tx): Promise<Result<Made>> => {
      const credential = await this.admitted(input, userId, tx);
      return credential.ok ? ok({ credential: credential.value, jwt: '', ...this.placesOf(handle) }) : credential;
    });
    if (!made.ok) return made;
    const { credential } = made.value;
    return ok({ ...made.value, jwt: await authority.sign({ handle, publicKey: credential.publicKey, expiresAt: Date.parse(credential.expiresAt) }) });
  }

  private async admitted({ publicKey, name, lifeMinutes }: InputOf<typeof createBusCredential>, userId: string, tx: Queryable): Promise<Result<BusCredentialObject>> {
    const known = await lockByKey(tx, publicKey);
    if (known !== undefined && known.userId !== userId) return AlreadyExists.fail('This key is somebody else’s; make one of your own.', { noun: 'bus-credential' });
    if (known !== undefined && known.revokedAt !== null) return WrongState.fail('This key was revoked; make a new one.', { state: 'revoked', allowed: ['live'] });
    if (known !== undefined) await renewCredential(tx, known.id, name, lifeMinutes);
    else if ((await countLive(tx, userId)) >= mostPerUser) return WrongState.fail(`You have ${mostPerUser} keys on the bus; revoke one that is not used.`, { state: `${mostPerUser} keys`, allowed: [`fewer than ${mostPerUser} keys`] });
    else if (!(await isInserted(tx, { id: newUuid(), userId, name, publicKey, lifeMinutes }))) return AlreadyExists.fail('Another request lets this key in just now; ask again.', { noun: 'bus-credential' });
    const credential = await lockByKey(tx, publicKey);
    if (credential === undefined) throw new Error('a key on the bus vanished in the transaction that wrote it');
    return ok(credential);
  }

  private placesOf(handle: string): Pick<Made, 'servers' | 'subjectPrefix' | 'inboxPrefix'> {
    return { servers: [...this.servers], subjectPrefix: `tok.v1.user.${handle}`, inboxPrefix: `_INBOX.user.${handle}` };
  }

  async list(input: InputOf<typeof listBusCredentials>, ctx: BusContext): Promise<Result<ReplyOf<typeof listBusCredentials>>> {
    const page = await pageOfCredentials(this.db, { userId: actorOf(ctx).userId, input });
    return page.ok ? ok({ items: page.value.rows, next: page.value.next }) : page;
  }

  async revoke(input: InputOf<typeof revokeBusCredential>, ctx: BusContext): Promise<Result<ReplyOf<typeof revokeBusCredential>>> {
    const { userId } = actorOf(ctx);
    const done = await runCommand(this.db, { ctx, operation: revokeBusCredential, input }, async (tx): Promise<Result<ReplyOf<typeof revokeBusCredential>>> => {
      if (!(await ownsCredential(tx, input.credentialId, userId))) return NotFound.fail('You have no key on the bus with this id.', { noun: 'bus-credential', id: input.credentialId });
      if ((await revokeCredential(tx, input.credentialId, userId)) > 0) await emit(tx, userChanged, { objectId: userId, data: { userId, what: 'bus-credential-revoked' }, ctx });
      return ok({});
    });
    if (done.ok) await this.revocations.tell();
    return done;
  }
}
