// The closed list of errors. Every failure that leaves a process has its code, kind, title and retry advice here.
import { z } from 'zod';
import type { Failed, Fault } from '#kernel';
import { failed } from '#kernel';

/** kind → HTTP status (gRPC's canonical kinds; the table of architecture section 4). */
export const errorKinds = {
  invalid_argument: 400,
  unauthenticated: 401,
  permission_denied: 403,
  not_found: 404,
  method_not_allowed: 405,
  request_timeout: 408,
  already_exists: 409,
  failed_precondition: 409,
  gone: 410,
  aborted: 412,
  content_too_large: 413,
  unsupported_media_type: 415,
  unprocessable: 422,
  resource_exhausted: 429,
  headers_too_large: 431,
  internal: 500,
  unavailable: 503,
  deadline_exceeded: 504,
  insufficient_capacity: 507,
} as const;
export type ErrorKind = keyof typeof errorKinds;

/** `no` = the same request will fail again; `same` = send it again as it is, later; `changed` = something must be changed first. */
export type Retry = 'no' | 'same' | 'changed';

export interface ErrorDef<D extends z.ZodType = z.ZodType> {
  readonly code: string;
  readonly kind: ErrorKind;
  readonly title: string;
  readonly retry: Retry;
  readonly details: D;
  /** A fault of this kind. `detail` is one sentence for the client. */
  fault(detail: string, details?: z.input<D>, cause?: unknown): Fault;
  fail(detail: string, details?: z.input<D>, cause?: unknown): Failed;
}

const registry = new Map<string, ErrorDef>();

function defineError<D extends z.ZodType>(code: string, kind: ErrorKind, title: string, retry: Retry, details: D): ErrorDef<D> {
  if (registry.has(code)) throw new Error(`error ${code} is defined twice`);
  const fault = (detail: string, given?: z.input<D>, cause?: unknown): Fault => ({
    code,
    detail,
    ...(given === undefined ? {} : { details: given as Record<string, unknown> }),
    ...(cause === undefined ? {} : { cause }),
  });
  const def: ErrorDef<D> = { code, kind, title, retry, details, fault, fail: (detail, given, cause) => failed(fault(detail, given, cause)) };
  registry.set(code, def);
  return def;
}

const none = z.strictObject({});
const object = z.strictObject({ noun: z.string(), id: z.string() });
const holder = z.strictObject({ noun: z.string().optional(), id: z.string().optional(), heldBy: z.string().optional(), taskId: z.string().optional(), state: z.string().optional() });

export const FieldIssue = z.strictObject({ path: z.string(), message: z.string() });

// What the caller wrote
export const InvalidArgument = defineError('INVALID_ARGUMENT', 'invalid_argument', 'The request does not fit its schema', 'changed', z.strictObject({ issues: z.array(FieldIssue) }));
export const BadJson = defineError('BAD_JSON', 'invalid_argument', 'The body is not JSON', 'changed', none);
export const PayloadTooLarge = defineError('PAYLOAD_TOO_LARGE', 'content_too_large', 'The body is larger than allowed', 'changed', z.strictObject({ limitBytes: z.number() }));
export const IdempotencyKeyReused = defineError('IDEMPOTENCY_KEY_REUSED', 'already_exists', 'This idempotency key was used for another request', 'changed', none);
export const UnknownOperation = defineError('UNKNOWN_OPERATION', 'not_found', 'There is no such operation', 'no', none);
export const DryRunUnsupported = defineError('DRY_RUN_UNSUPPORTED', 'invalid_argument', 'The server cannot explain this beforehand', 'changed', z.strictObject({ operation: z.string() }));
export const BadReplySubject = defineError('BAD_REPLY_SUBJECT', 'invalid_argument', 'The reply subject is not an inbox', 'no', none);
export const ImageRefused = defineError('IMAGE_REFUSED', 'unprocessable', 'The image is not acceptable', 'changed', z.strictObject({ reason: z.string() }));
export const MethodNotAllowed = defineError('METHOD_NOT_ALLOWED', 'method_not_allowed', 'The path does not take this method', 'no', z.strictObject({ allowed: z.array(z.string()) }));
export const UnsupportedMediaType = defineError('UNSUPPORTED_MEDIA_TYPE', 'unsupported_media_type', 'The body is of a type that is not taken here', 'changed', z.strictObject({ accepted: z.array(z.string()) }));
export const HeadersTooLarge = defineError('HEADERS_TOO_LARGE', 'headers_too_large', 'The headers are larger than allowed', 'changed', none);
export const RequestTooSlow = defineError('REQUEST_TOO_SLOW', 'request_timeout', 'The request did not arrive in time', 'same', none);

// Who the caller is
export const Unauthenticated = defineError('UNAUTHENTICATED', 'unauthenticated', 'Sign in first', 'changed', none);
export const BadCredentials = defineError('BAD_CREDENTIALS', 'unauthenticated', 'User or password is wrong', 'changed', none);
export const TokenExpired = defineError('TOKEN_EXPIRED', 'unauthenticated', 'The token has ended', 'changed', none);
export const TicketInvalid = defineError('TICKET_INVALID', 'unauthenticated', 'The ticket opens nothing', 'changed', z.strictObject({ reason: z.enum(['unknown', 'used', 'ended', 'other-console', 'other-user', 'other-run']) }));
export const PasswordChangeRequired = defineError('PASSWORD_CHANGE_REQUIRED', 'permission_denied', 'Set a new password first', 'changed', none);
export const LockedOut = defineError('LOCKED_OUT', 'resource_exhausted', 'Too many failed sign-ins', 'same', z.strictObject({ retryAfterMs: z.number() }));
export const PermissionDenied = defineError('PERMISSION_DENIED', 'permission_denied', 'You lack the right', 'no', z.strictObject({ permission: z.string() }));
export const RateLimited = defineError('RATE_LIMITED', 'resource_exhausted', 'Too many requests', 'same', z.strictObject({ retryAfterMs: z.number() }));

// Objects
export const NotFound = defineError('NOT_FOUND', 'not_found', 'There is no such object', 'no', object);
export const NameTaken = defineError('NAME_TAKEN', 'already_exists', 'The name is in use', 'changed', z.strictObject({ noun: z.string(), name: z.string() }));
export const AlreadyExists = defineError('ALREADY_EXISTS', 'already_exists', 'It exists already', 'changed', z.strictObject({ noun: z.string(), id: z.string().optional() }));
export const VersionConflict = defineError('VERSION_CONFLICT', 'aborted', 'Somebody changed the object meanwhile', 'changed', z.strictObject({ expected: z.number(), actual: z.number() }));
export const InUse = defineError('IN_USE', 'failed_precondition', 'The object is in use', 'changed', z.strictObject({ by: z.array(z.strictObject({ noun: z.string(), id: z.string() })) }));
export const Busy = defineError('BUSY', 'failed_precondition', 'A task works on the object', 'same', holder);
/** `confirm` = the member of the request that confirms it. */
export const ConfirmationNeeded = defineError('CONFIRMATION_NEEDED', 'failed_precondition', 'What was asked cannot be taken back and was not confirmed', 'changed', z.strictObject({ confirm: z.string() }));
export const WrongState = defineError('WRONG_STATE', 'failed_precondition', 'The object is not in a state that allows this', 'changed', z.strictObject({ state: z.string(), allowed: z.array(z.string()) }));
export const TaskNotCancellable = defineError('TASK_NOT_CANCELLABLE', 'failed_precondition', 'The task is past its point of no return or has ended', 'no', z.strictObject({ state: z.string() }));

// Events
/** `after` + 1 to `firstSeq` - 1 are gone. What they said is in the objects as they are now: list those, then go on after `lastSeq`. */
export const EventsGone = defineError('EVENTS_GONE', 'gone', 'The events are kept no longer', 'changed', z.strictObject({
  after: z.number(), firstSeq: z.number(), lastSeq: z.number(), snapshot: z.array(z.strictObject({ operation: z.string(), http: z.string() })),
}));
/** `reason` = the address or the rule. */
export const AddressRefused = defineError('ADDRESS_REFUSED', 'unprocessable', 'Nothing is sent to this address', 'changed', z.strictObject({ reason: z.string() }));
export const ReceiverFailed = defineError('RECEIVER_FAILED', 'unavailable', 'The receiver did not take it', 'same', z.strictObject({ status: z.number().optional(), reason: z.string() }));
export const FeedEnded = defineError('FEED_ENDED', 'gone', 'The feed was not read any more', 'changed', none);

// VMs and hosts
export const VmBusy = defineError('VM_BUSY', 'failed_precondition', 'The VM works on something else', 'same', holder);
export const HostUnreachable = defineError('HOST_UNREACHABLE', 'failed_precondition', 'The host does not respond', 'same', z.strictObject({ hostId: z.string() }));
export const HostNotConnected = defineError('HOST_NOT_CONNECTED', 'failed_precondition', 'The host has not joined', 'same', z.strictObject({ hostId: z.string() }));
export const StaleEpoch = defineError('STALE_EPOCH', 'failed_precondition', 'The command is older than the VM', 'no', z.strictObject({ seen: z.number(), got: z.number() }));
export const CommandRunning = defineError('COMMAND_RUNNING', 'unavailable', 'The command is still being carried out', 'same', z.strictObject({ commandId: z.string() }));
export const CommandCancelled = defineError('COMMAND_CANCELLED', 'failed_precondition', 'The command was cancelled', 'no', none);
export const HostCommandFailed = defineError('HOST_COMMAND_FAILED', 'failed_precondition', 'The host could not do it', 'same', z.strictObject({ reason: z.string() }));
export const QemuFailed = defineError('QEMU_FAILED', 'failed_precondition', 'QEMU did not start', 'changed', z.strictObject({ reason: z.string() }));
export const DeviceHeld = defineError('DEVICE_HELD', 'failed_precondition', 'The guest holds the device', 'changed', z.strictObject({ device: z.string(), reason: z.enum(['mounted', 'refused', 'no-answer']), mountPoints: z.array(z.string()) }));
export const DeviceRefused = defineError('DEVICE_REFUSED', 'failed_precondition', 'QEMU did not take the change', 'changed', z.strictObject({ reason: z.string() }));
export const NoFreeSlot = defineError('NO_FREE_SLOT', 'failed_precondition', 'The running VM has no free slot for the device', 'changed', z.strictObject({ slot: z.string() }));
export const NotFoundOnHost = defineError('NOT_FOUND_ON_HOST', 'not_found', 'The host does not know this object', 'no', object);
export const JournalFailed = defineError('JOURNAL_FAILED', 'unavailable', 'The host cannot write its journal', 'same', z.strictObject({ reason: z.string() }));

// Capacity
export const NoCapacity = defineError('NO_CAPACITY', 'insufficient_capacity', 'No host can take the VM', 'same', z.strictObject({ refusals: z.array(z.strictObject({ hostId: z.string(), hostName: z.string(), reason: z.string(), text: z.string() })) }));
export const DatastoreFull = defineError('DATASTORE_FULL', 'insufficient_capacity', 'The datastore has too little space', 'changed', z.strictObject({ datastoreId: z.string(), freeBytes: z.number(), neededBytes: z.number() }));
export const NoFreeAddress = defineError('NO_FREE_ADDRESS', 'insufficient_capacity', 'The subnet has no free address', 'changed', z.strictObject({ subnetId: z.string() }));
export const AddressTaken = defineError('ADDRESS_TAKEN', 'already_exists', 'The address is in use', 'changed', z.strictObject({ address: z.string() }));

// The machinery
export const Unavailable = defineError('UNAVAILABLE', 'unavailable', 'A service does not answer', 'same', z.strictObject({ service: z.string() }));
export const Overloaded = defineError('OVERLOADED', 'unavailable', 'The service has too much to do', 'same', none);
export const ShuttingDown = defineError('SHUTTING_DOWN', 'unavailable', 'The service is stopping', 'same', none);
export const DeadlineExceeded = defineError('DEADLINE_EXCEEDED', 'deadline_exceeded', 'It took too long', 'same', none);
export const Internal = defineError('INTERNAL', 'internal', 'A bug; the log of the service has the cause under this trace id', 'no', none);

export const allErrors: ReadonlyMap<string, ErrorDef> = registry;

/** Errors any operation may answer; contracts list only what they add. */
export const commonErrors: readonly ErrorDef[] = [InvalidArgument, BadJson, PayloadTooLarge, Unauthenticated, TokenExpired, PermissionDenied, RateLimited, IdempotencyKeyReused, DryRunUnsupported, Unavailable, Overloaded, ShuttingDown, DeadlineExceeded, Internal];

/** HTTP status of a code; 500 for a code outside the list. */
export const httpStatusOf = (code: string): number => errorKinds[registry.get(code)?.kind ?? 'internal'];

/** Body of every refusal, on the bus as it is, over HTTP inside `application/problem+json`. */
export const ErrorBody = z.object({ code: z.string(), detail: z.string(), details: z.record(z.string(), z.unknown()).optional(), traceId: z.string().optional() }).meta({ id: 'Error' });
export type ErrorBody = z.infer<typeof ErrorBody>;
