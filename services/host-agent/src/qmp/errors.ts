// What went wrong with a monitor, told apart. The only file that looks at QEMU's English.

export type MonitorFailure =
  /** The connection has ended: the process is gone, or about to be. */
  | 'gone'
  /** Nothing came back in time. */
  | 'silent'
  /** Someone else holds the monitor, or the process hangs: no greeting. */
  | 'no-greeting'
  /** Nobody listens on the socket. */
  | 'not-listening'
  /** QEMU refused the command. */
  | 'refused'
  /** Not the protocol. */
  | 'garbled';

export class MonitorError extends Error {
  override readonly name = 'MonitorError';
  constructor(readonly failure: MonitorFailure, message: string, readonly qmpClass?: string) {
    super(message);
  }
}

/** QEMU has answered, and did nothing. */
export const isRefusal = (error: unknown): error is MonitorError => error instanceof MonitorError && error.failure === 'refused';
/** The refusals that mean: it is already as it was asked to be. */
const already = /is already in the process of unplug|Device '[^']*' not found|Failed to find node with node-name/;
export const isAlreadySo = (error: unknown): boolean => isRefusal(error) && (error.qmpClass === 'DeviceNotFound' || already.test(error.message));
/** A block node that the device which let it go still has in its hands for a moment. */
export const isStillInUse = (error: unknown): boolean => isRefusal(error) && /is (still )?in use|is busy/.test(error.message);

/** Why QEMU did not start, from its own words on stderr: first match wins. */
const startReasons: readonly (readonly [RegExp, string])[] = [
  [/Failed to get "(write|consistent read)" lock/, 'A disk is in use by another process.'],
  [/could not open (disk image|backing file).*: Permission denied|Could not open '.*': Permission denied/i, 'A disk’s file may not be read or written by the VM’s user.'],
  [/Could not open (backing file|'.*'): No such file or directory|Could not open backing file/i, 'A disk’s file is missing.'],
  [/Image is not in qcow2 format/, 'A disk’s file is not of the format that was said.'],
  [/\/dev\/net\/tun: Permission denied|could not open \/dev\/net\/tun/, 'QEMU may not open /dev/net/tun.'],
  [/could not configure \/dev\/net\/tun .*: (Device or resource busy|Operation not permitted)/, 'A NIC’s tap device is in use or belongs to another user.'],
  [/Could not access KVM kernel module|failed to initialize kvm/i, 'KVM cannot be used.'],
  [/cannot set up guest memory|Cannot allocate memory/i, 'The host has too little free memory.'],
  [/unable to find CPU model/i, 'The host’s QEMU does not know the CPU model.'],
  [/File name too long|UNIX socket path .* is too long/i, 'The host’s directory has too long a path for unix sockets.'],
  [/Failed to bind socket|Permission denied/, 'QEMU may not write into the VM’s directory.'],
];

/** One sentence for the client and QEMU's last words. */
export function startFailure(stderr: string): { sentence: string; words: string } {
  const words = stderr.trim().split('\n').slice(-4).join('; ').slice(-800);
  const known = startReasons.find(([pattern]) => pattern.test(stderr));
  return { sentence: known?.[1] ?? (words === '' ? 'QEMU ended without a word.' : 'QEMU did not start.'), words };
}
