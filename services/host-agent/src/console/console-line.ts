// What every kind of console is to a session: a line into the guest, and a sink for what comes out of it.

export interface ConsoleSink {
  /** Fulfilled when more may come. */
  take(bytes: Uint8Array): Promise<void>;
  /** Nothing more comes: QEMU closed it, or the line was closed. */
  onEnd(): void;
}

export interface ConsoleLine {
  /** Fulfilled when the guest's side has room for more, or is gone. */
  write(bytes: Uint8Array): Promise<void>;
  close(): void;
}
