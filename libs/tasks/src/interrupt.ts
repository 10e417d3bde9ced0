// How a run of a step ends other than by an answer: thrown through the step's code, understood by the worker alone.
// They do not extend FaultError, so that code which catches faults lets them pass.
import type { Fault } from '#kernel';

export interface ParkedFor {
  readonly what: string;
  readonly holder: string | null;
  readonly position: number | null;
}

/** The task gives up its claim and its worker until it is woken or `afterMs` have passed. */
export class Parked extends Error {
  constructor(
    readonly waitsFor: ParkedFor,
    readonly afterMs: number,
    /** Set when it waits because something failed that passes by itself: counts against the step's patience. */
    readonly because?: Fault,
  ) {
    super(`parked: ${waitsFor.what}`);
  }
}

/** Somebody else holds the task now: nothing may be written any more. */
export class ClaimLost extends Error {
  constructor() {
    super('the claim on the task is lost');
  }
}

/** The user has asked to cancel. */
export class CancelAsked extends Error {
  constructor() {
    super('the task is being cancelled');
  }
}

/** This service stops; another replica goes on. */
export class Stopping extends Error {
  constructor() {
    super('the service is stopping');
  }
}
