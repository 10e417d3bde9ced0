// What a template's disk is. Pure.

const MiB = 1024 * 1024;

/** The size of the volume that storage makes of an image: whole sectors, at least a MiB. */
export const diskSize = (virtualBytes: number): number => Math.max(MiB, Math.ceil(virtualBytes / 512) * 512);
