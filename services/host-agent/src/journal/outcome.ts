// Results as journals keep them. What may be sent again as it is, is not kept: the repeat is meant to be tried afresh.
import { allErrors } from '#contracts';
import type { Result } from '#kernel';
import { failed, ok } from '#kernel';
import type { RecordedOutcome } from './records.ts';

export function outcomeOf(result: Result<unknown>): RecordedOutcome {
  if (result.ok) return { ok: true, value: result.value };
  const { code, detail, details } = result.fault;
  return { ok: false, fault: { code, detail, ...(details === undefined ? {} : { details: { ...details } }) } };
}

export function resultOf(outcome: RecordedOutcome): Result<unknown> {
  if (outcome.ok) return ok(outcome.value);
  const { code, detail, details } = outcome.fault;
  return failed({ code, detail, ...(details === undefined ? {} : { details }) });
}

/** A fault that the registry lets the caller send again as it is leaves no result; neither does a bug. */
export const isKept = (outcome: RecordedOutcome): boolean =>
  outcome.ok || (outcome.fault.code !== 'INTERNAL' && allErrors.get(outcome.fault.code)?.retry !== 'same');
