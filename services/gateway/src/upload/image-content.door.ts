// `PUT /v1/images/:imageId/content`: the bytes of an announced image, then its import as a task. Until the import is
// accepted the image awaits its upload, so an upload that broke off anywhere is simply sent again.
import type { IncomingMessage } from 'node:http';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { BusClient } from '#bus';
import { isIdempotencyKey } from '#bus';
import { Busy, getImage, imageContentRoute, ImageId, importImage, InvalidArgument, mayAccess, PermissionDenied, WrongState } from '#contracts';
import type { Image } from '#contracts';
import type { Result } from '#kernel';
import { newUuid, ok } from '#kernel';
import type { Call } from '../rest/call.ts';
import { callOf } from '../rest/rest.door.ts';
import type { RestDoor } from '../rest/rest.door.ts';
import { carry, UploadBrokenOff } from './content.stream.ts';
import type { UploadLimits } from './content.stream.ts';

const right = 'image.write';
const name = 'templates.image.upload';
/** Longest time that one upload may take, ms; the bus knows no longer deadline. */
const uploadMs = 3_600_000;

export function addImageContent(door: RestDoor, bus: BusClient, limits: UploadLimits): void {
  const running = new Set<string>();
  void door.app.register((scope, _options, done) => {
    scope.removeAllContentTypeParsers();
    // The stream itself: nothing is read before the image is known and the right is checked.
    scope.addContentTypeParser('application/octet-stream', (_request: FastifyRequest, payload: IncomingMessage, parsed: (error: null, body: IncomingMessage) => void) => { parsed(null, payload); });
    scope.route({
      method: imageContentRoute.method,
      url: imageContentRoute.path,
      onRequest: door.enter({ name, permission: right }),
      handler: async (request, reply) => {
        await receive(door, bus, limits, running, request, reply);
        return reply;
      },
    });
    done();
  });
}

async function receive(door: RestDoor, bus: BusClient, limits: UploadLimits, running: Set<string>, request: FastifyRequest, reply: FastifyReply): Promise<void> {
  const { imageId } = request.params as { imageId: string };
  const call = callOf(request);
  const image = await awaitingImage(bus, imageId, call);
  if (!image.ok) { refused(door, image, request, reply); return; }
  if (running.has(imageId)) { refused(door, Busy.fail('The image is being uploaded already.', { noun: 'image', id: imageId }), request, reply); return; }
  running.add(imageId);
  try {
    const accepted = await store(bus, image.value, call, limits, request, reply);
    if (!accepted.ok) { refused(door, accepted, request, reply); return; }
    door.answer(reply, 202, { location: `/v1/tasks/${accepted.value.taskId}` }, 'application/json; charset=utf-8', JSON.stringify(accepted.value), call);
  } catch (error) {
    if (!(error instanceof UploadBrokenOff)) throw error;
    reply.hijack();
    request.raw.destroy();
  } finally {
    running.delete(imageId);
  }
}

function refused(door: RestDoor, failure: Result<never> & { ok: false }, request: FastifyRequest, reply: FastifyReply): void {
  void door.refuse(failure.fault, request, reply);
}

const takesBytes: readonly Image['state'][] = ['awaiting-upload', 'failed'];

/** The image, if this caller may write it and it waits for its bytes. */
async function awaitingImage(bus: BusClient, imageId: string, call: Call): Promise<Result<Image & { uploadId: NonNullable<Image['uploadId']> }>> {
  const id = ImageId.safeParse(imageId);
  if (!id.success) return InvalidArgument.fail('imageId: must be a UUID in lower case.', { issues: [{ path: 'imageId', message: 'must be a UUID in lower case' }] });
  const ctx = call.context(getImage.timeoutMs, new AbortController().signal, null);
  const found = await bus.request(getImage, { imageId: id.data }, { ctx });
  if (!found.ok) return found;
  const image = found.value;
  if (call.caller === undefined || !mayAccess(call.caller.actor, right, image)) return PermissionDenied.fail(`You lack the right ${right} on this image.`, { permission: right });
  const { uploadId } = image;
  if (!takesBytes.includes(image.state) || uploadId === null) return WrongState.fail(`The image is ${image.state}; only one that awaits its upload, or whose upload was refused, takes bytes.`, { state: image.state, allowed: [...takesBytes] });
  return ok({ ...image, uploadId });
}

async function store(bus: BusClient, image: Image & { uploadId: NonNullable<Image['uploadId']> }, call: Call, limits: UploadLimits, request: FastifyRequest, reply: FastifyReply) {
  const gone = new AbortController();
  reply.raw.once('close', () => { gone.abort(); });
  const ctx = call.context(uploadMs, gone.signal, null);
  const content = await carry(request.raw, image.uploadId, bus, ctx, limits);
  if (!content.ok) return content;
  const given = request.headers['idempotency-key'];
  const idempotencyKey = typeof given === 'string' && isIdempotencyKey(given) ? given : newUuid();
  reply.header('Idempotency-Key', idempotencyKey);
  return bus.request(importImage, { imageId: image.id, ...content.value }, { ctx: call.context(importImage.timeoutMs, gone.signal, idempotencyKey), idempotencyKey });
}
