// The frames of a pipe: kind (1 byte), number (4 bytes, big endian, counts every frame of its direction), content. Pure.
const kinds = ['data', 'ack', 'alive', 'end'] as const;
const headBytes = 5;
const ackBytes = 8;

/** `ack` tells how many bytes of data have been taken since the beginning; `end` why nothing more comes. */
export type Frame =
  | { readonly kind: 'data'; readonly bytes: Uint8Array }
  | { readonly kind: 'ack'; readonly taken: number }
  | { readonly kind: 'alive' }
  | { readonly kind: 'end'; readonly reason: string };

const text = { encode: new TextEncoder(), decode: new TextDecoder() };

function contentOf(frame: Frame): Uint8Array {
  if (frame.kind === 'data') return frame.bytes;
  if (frame.kind === 'end') return text.encode.encode(frame.reason.slice(0, 200));
  const content = new Uint8Array(frame.kind === 'ack' ? ackBytes : 0);
  if (frame.kind === 'ack') new DataView(content.buffer).setBigUint64(0, BigInt(frame.taken));
  return content;
}

export function encodeFrame(frame: Frame, number: number): Uint8Array {
  const content = contentOf(frame);
  const bytes = new Uint8Array(headBytes + content.length);
  bytes[0] = kinds.indexOf(frame.kind);
  new DataView(bytes.buffer).setUint32(1, number >>> 0);
  bytes.set(content, headBytes);
  return bytes;
}

/** Undefined = these bytes are no frame. */
export function decodeFrame(bytes: Uint8Array): { readonly number: number; readonly frame: Frame } | undefined {
  if (bytes.length < headBytes) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const number = view.getUint32(1);
  const content = bytes.subarray(headBytes);
  const kind = kinds[bytes[0]!];
  switch (kind) {
    case 'data': return { number, frame: { kind, bytes: content } };
    case 'alive': return { number, frame: { kind } };
    case 'end': return { number, frame: { kind, reason: text.decode.decode(content) } };
    case 'ack': return content.length === ackBytes ? { number, frame: { kind, taken: Number(view.getBigUint64(headBytes)) } } : undefined;
    default: return undefined;
  }
}
