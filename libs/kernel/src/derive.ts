// Secrets that nobody stores: made again from one master key and what they are about.
import { createHmac, hkdfSync } from 'node:crypto';

/** The key for one purpose; from it nobody finds the master key or another purpose's. 32 bytes. */
export const keyFor = (master: Buffer, purpose: string): Buffer => Buffer.from(hkdfSync('sha256', master, '', purpose, 32));

/** 32 bytes, the same for the same purpose and text. */
export const derivedSecret = (master: Buffer, purpose: string, about: string): Buffer => createHmac('sha256', keyFor(master, purpose)).update(about).digest();
