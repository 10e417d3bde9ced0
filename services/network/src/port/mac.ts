// MAC addresses for NICs: QEMU's prefix and 24 random bits. Random, so that two installations on one wire seldom meet and
// a MAC that was given back does not come again soon; the table's unique key says whether it is free.
import { randomBytes } from 'node:crypto';

const prefix = '52:54:00';

export const randomMac = (random: (size: number) => Buffer = randomBytes): string =>
  `${prefix}:${[...random(3)].map((byte) => byte.toString(16).padStart(2, '0')).join(':')}`;
