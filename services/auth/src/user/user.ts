// What follows from a user's handle.

/** A name to show where none was given: the handle, without an end that a name may not have. */
export const displayNameOf = (handle: string): string => handle.replace(/[_-]+$/, '');
