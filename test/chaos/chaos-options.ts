// What a chaos run was asked for (TOK_CHAOS, written by tools/test/chaos.mjs).
import { z } from 'zod';

const Options = z.strictObject({
  seed: z.int().default(1),
  /** The faults are spread over so long. */
  minutes: z.number().positive().default(10),
  /** Commands that must have been acknowledged. */
  tasks: z.int().min(1).default(200),
  /** The long outages instead of the faults of a seed. */
  outages: z.boolean().default(false),
  /** Where what happened is written while it happens, and at the end what it came to. */
  dir: z.string(),
});
export type ChaosOptions = z.output<typeof Options>;

export const chaosOptions = (text: string | undefined): ChaosOptions => Options.parse(JSON.parse(text ?? '{}'));
