// What a dry run answers: how a command would be decided and what its task would do. Nothing of it has happened.
import { z } from 'zod';
import { ErrorBody } from './errors.ts';
import { permissions } from './permissions.ts';

/** Who may read a note besides services; taken out before it reaches a person. */
const SeenWith = z.strictObject({ permission: z.enum(permissions), id: z.string(), clusterId: z.string().nullable() });
export const PlanNote = z.strictObject({
  text: z.string(), details: z.record(z.string(), z.unknown()).optional().describe('the same for programs'), seenWith: SeenWith.optional().describe('between services alone'),
}).meta({ id: 'PlanNote' });
export type PlanNote = z.infer<typeof PlanNote>;

/** `foreseen` = its own code was asked, without effect; `planned` = it comes, what it finds shows only then; `fails` = it would fail now. */
export const PlanStep = z.strictObject({ name: z.string(), why: z.string().nullable(), outlook: z.enum(['foreseen', 'planned', 'fails']), decisions: z.array(PlanNote) }).meta({ id: 'PlanStep' });
export type PlanStep = z.infer<typeof PlanStep>;

export const Plan = z.strictObject({
  operation: z.string(), task: z.string().nullable().describe('kind of the task that would do it; null = done at once'),
  succeeds: z.boolean().describe('false = the command would be accepted, and its task would fail as `error` says'), error: ErrorBody.nullable(),
  checks: z.array(z.string()).describe('what was looked at and found right'), decisions: z.array(PlanNote), warnings: z.array(z.string()),
  steps: z.array(PlanStep), result: z.unknown().describe('what a command without a task would answer'),
}).meta({ id: 'Plan' });
export type Plan = z.infer<typeof Plan>;
