// A small VNC client for tests (RFB 3.8, RFC 6143): shakes hands without a password, reads the screen as raw pixels,
// presses keys.

const bytesPerPixel = 4;
const raw = 0;
const desktopSize = -223;

export interface Screen { readonly width: number; readonly height: number; readonly pixels: Buffer }

export class RfbClient {
  private heard: Buffer = Buffer.alloc(0);
  private waiting: (() => void) | undefined;
  private width = 0;
  private height = 0;
  private pixels = Buffer.alloc(0);

  constructor(private readonly write: (bytes: Buffer) => void) {}

  /** Bytes that came from the server. */
  feed(bytes: Uint8Array): void {
    this.heard = Buffer.concat([this.heard, bytes]);
    this.waiting?.();
  }

  /** Everything up to and with the server's first message; answers what the desktop is called. */
  async shakeHands(): Promise<string> {
    const version = (await this.read(12)).toString('latin1');
    if (version !== 'RFB 003.008\n') throw new Error(`the server speaks ${version}`);
    this.write(Buffer.from(version));
    const types = await this.read((await this.read(1))[0]!);
    if (!types.includes(1)) throw new Error(`the server wants a password: security types ${types.toString('hex')}`);
    this.write(Buffer.from([1]));
    if ((await this.read(4)).readUInt32BE() !== 0) throw new Error('the server refused');
    this.write(Buffer.from([0])); // asks to be alone: the server must not grant it
    const head = await this.read(24);
    this.resize(head.readUInt16BE(0), head.readUInt16BE(2));
    const name = (await this.read(head.readUInt32BE(20))).toString('utf8');
    // 32 bits, depth 24, little endian, true colour, 8 bits each.
    this.write(Buffer.from([0, 0, 0, 0, 32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0]));
    const encodings = Buffer.alloc(12);
    encodings.writeUInt8(2, 0);
    encodings.writeUInt16BE(2, 2);
    encodings.writeInt32BE(raw, 4);
    encodings.writeInt32BE(desktopSize, 8);
    this.write(encodings);
    return name;
  }

  /** The screen as it is now, or when it has next changed. */
  async screen(onlyChanges = false): Promise<Screen> {
    const ask = Buffer.from([3, onlyChanges ? 1 : 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    ask.writeUInt16BE(this.width, 6);
    ask.writeUInt16BE(this.height, 8);
    this.write(ask);
    while ((await this.message()) !== 'update');
    return { width: this.width, height: this.height, pixels: Buffer.from(this.pixels) };
  }

  /** Presses and lets go of a key; a printable character's keysym is its code. */
  press(keysym: number): void {
    for (const down of [1, 0]) {
      const event = Buffer.from([4, down, 0, 0, 0, 0, 0, 0]);
      event.writeUInt32BE(keysym, 4);
      this.write(event);
    }
  }

  private async message(): Promise<'update' | 'other'> {
    const type = (await this.read(1))[0]!;
    if (type === 0) {
      const rectangles = (await this.read(3)).readUInt16BE(1);
      for (let at = 0; at < rectangles; at++) await this.rectangle();
      return 'update';
    }
    if (type === 1) await this.read((await this.read(5)).readUInt16BE(3) * 6);
    else if (type === 3) await this.read((await this.read(7)).readUInt32BE(3));
    else if (type !== 2) throw new Error(`the server sent a message of type ${type}`);
    return 'other';
  }

  private async rectangle(): Promise<void> {
    const head = await this.read(12);
    const [x, y, width, height] = [0, 2, 4, 6].map((at) => head.readUInt16BE(at)) as [number, number, number, number];
    const encoding = head.readInt32BE(8);
    if (encoding === desktopSize) { this.resize(width, height); return; }
    if (encoding !== raw) throw new Error(`the server sent an encoding that nobody asked for: ${encoding}`);
    const bytes = await this.read(width * height * bytesPerPixel);
    for (let row = 0; row < height; row++) bytes.copy(this.pixels, ((y + row) * this.width + x) * bytesPerPixel, row * width * bytesPerPixel, (row + 1) * width * bytesPerPixel);
  }

  private resize(width: number, height: number): void {
    [this.width, this.height, this.pixels] = [width, height, Buffer.alloc(width * height * bytesPerPixel)];
  }

  private async read(count: number): Promise<Buffer> {
    while (this.heard.length < count) await new Promise<void>((resolve) => { this.waiting = resolve; });
    const bytes = this.heard.subarray(0, count);
    this.heard = this.heard.subarray(count);
    return bytes;
  }
}

/** How many pixels are not black. */
export const lit = ({ pixels }: Screen): number => {
  let count = 0;
  for (let at = 0; at < pixels.length; at += bytesPerPixel) if (pixels.readUIntLE(at, 3) !== 0) count += 1;
  return count;
};
