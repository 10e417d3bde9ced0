// image upload: announces an image and sends its bytes. An upload that broke off is taken up again by the same command:
// an image of that name which still awaits its bytes is used.
import { createReadStream, statSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { createImage, imageContentRoute, listImages } from '#contracts';
import { sizeText } from '#kernel';
import { valueOf } from './answers.ts';
import { contentPath } from './command-tree.ts';
import type { Command } from './command-tree.ts';
import { settled, showItem } from './context.ts';
import type { Context } from './context.ts';
import { usageFailure } from './failures.ts';
import { checkInput, flagOfPath, inputOf } from './input.ts';
import type { Input, Typed } from './input.ts';
import { nouns } from './nouns.ts';
import { formatOf } from './output.ts';
import { operationNamed } from './platform.client.ts';
import { durationText } from './quantities.ts';
import { waitFor } from './operation.command.ts';

/** The door stores pieces as they come; a silent link is given up after this, ms. */
const silenceMs = 120_000;
const pieceBytes = 256 * 1024;

export async function uploadImage(command: Command, context: Context, file: string, typed: Typed): Promise<void> {
  const bytes = sizeOf(file);
  const given = inputOf(command, [], typed);
  await checkInput(command, given);
  const image = await announced(command, context, await settled(context, given));
  const answer = await context.platform.ask({
    method: imageContentRoute.method, path: contentPath(image.id), timeoutMs: silenceMs,
    headers: { 'content-type': 'application/octet-stream', 'idempotency-key': context.platform.keyFor('content') }, content: { bytes, open: () => counted(context, file, bytes) },
  });
  const { taskId } = valueOf(answer) as { taskId: string };
  const { options, around } = context;
  if (!options.wait) {
    if (formatOf(options.output ?? 'table') !== 'table') return showItem(context, { id: image.id, name: image.name, taskId }, [], 'image', true);
    around.out(`image upload: accepted as task ${taskId} for image ${image.id}`);
    return;
  }
  await waitFor(context, taskId);
  const made = await context.platform.call(operationNamed(nouns.image.get ?? ''), { imageId: image.id });
  return showItem(context, made, nouns.image.columns, 'image', false);
}

function sizeOf(file: string): number {
  try {
    const stat = statSync(file);
    if (!stat.isFile() || stat.size === 0) throw new Error('it is no file with content');
    return stat.size;
  } catch (error) {
    throw usageFailure(`${file} cannot be uploaded: ${(error as Error).message}`);
  }
}

async function announced(command: Command, { platform, around }: Context, input: Input): Promise<{ id: string; name: string }> {
  const { items } = await platform.list(operationNamed(listImages.name), { name: input['name'], state: 'awaiting-upload' });
  const [waiting] = items;
  if (waiting) around.say(`Image ${String(waiting['name'])} awaits its bytes already: sending them.`);
  const image = waiting ?? (await platform.call(operationNamed(createImage.name), input, { flagOf: (path) => flagOfPath(command, path) }));
  return { id: String(image['id']), name: String(image['name']) };
}

/** The file as a stream that tells how far it is: a line that changes where somebody watches, else a line per tenth. */
function counted({ around }: Context, file: string, bytes: number): Readable {
  const started = around.nowMs();
  let sent = 0;
  let told = -1;
  return createReadStream(file, { highWaterMark: pieceBytes }).on('data', (chunk) => {
    sent += chunk.length;
    const percent = Math.floor((100 * sent) / bytes);
    const step = around.watched ? percent : Math.floor(percent / 10) * 10;
    if (step === told) return;
    told = step;
    const perSecond = sent / Math.max(0.001, (around.nowMs() - started) / 1000);
    const line = `upload ${percent}% ${sizeText(sent)} of ${sizeText(bytes)}, ${sizeText(Math.round(perSecond))}/s, ${durationText(((bytes - sent) / perSecond) * 1000)} left`;
    if (around.watched) around.redraw(line);
    else around.say(line);
  });
}
