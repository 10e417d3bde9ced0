// How a program that reads strangers' bytes is started: as nobody, without network, capabilities or new rights, with
// bounded time, memory and output, and ending with the agent. Pure: it only builds the argument list.

export interface SandboxLimits { readonly cpuSeconds: number; readonly memoryBytes: number; readonly fileBytes: number }

/** `uid` must own nothing but the two files that are handed in as descriptors. */
export function sandboxed(uid: number, limits: SandboxLimits, argv: readonly string[]): string[] {
  return [
    'prlimit', `--cpu=${limits.cpuSeconds}`, `--as=${limits.memoryBytes}`, `--fsize=${limits.fileBytes}`, '--nofile=64', '--core=0', '--',
    'unshare', '--net', '--ipc', '--',
    'setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', '--no-new-privs', '--bounding-set=-all', '--inh-caps=-all', '--pdeathsig', 'KILL', '--',
    ...argv,
  ];
}

const MiB = 1024 * 1024;
/** An image may unpack to this multiple of its upload, and always to a gigabyte. */
const expansion = 100;
const alwaysAllowedBytes = 1024 * MiB;

/** Limits for one image; honest ones stay far below. */
export function limitsFor(image: { uploadBytes: number; virtualBytes: number; sparseTarget: boolean }): SandboxLimits {
  const unpacked = Math.min(Math.ceil(image.virtualBytes * 1.01) + 16 * MiB, Math.max(alwaysAllowedBytes, image.uploadBytes * expansion));
  return {
    cpuSeconds: 30 + Math.ceil(unpacked / (20 * MiB)),
    memoryBytes: 768 * MiB,
    // A raw target is as long as the disk from the start; what it takes is bounded by the data above.
    fileBytes: image.sparseTarget ? image.virtualBytes : unpacked,
  };
}
