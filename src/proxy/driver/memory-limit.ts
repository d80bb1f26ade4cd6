/** How many clients the memory of this process's cgroup is enough for. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** For everything that is no client: Node, its threads and the buffers of the rest. */
const RESERVED_BYTES = 128 * 1024 * 1024;
/** Of one that says little: two sockets in the kernel, measured at 5.5 KiB, and 1.3 KiB here. */
const BYTES_PER_CLIENT = 7 * 1024;
const MIN_CLIENTS = 16;
const CGROUP_ROOT = '/sys/fs/cgroup';

/** Clients that fit into `limitBytes`, 16 at least; Infinity without a limit. */
export function clientsByMemory(limitBytes: number = memoryLimitBytes()): number {
  return Math.max(MIN_CLIENTS, Math.floor((limitBytes - RESERVED_BYTES) / BYTES_PER_CLIENT));
}

/**
 * The least memory limit of this process's cgroup and those above it, as far as they are visible; Infinity for none.
 * `root` is where cgroups are mounted, and `own` the text of /proc/self/cgroup (cgroups(7)).
 */
export function memoryLimitBytes(
  root: string = CGROUP_ROOT,
  own: string = readFileSync('/proc/self/cgroup', 'utf8'),
): number {
  const limits = own.split('\n').flatMap((line) => {
    const [, controllers = '', path = ''] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    if (controllers === '') return limitsAlong(root, path, 'memory.max');
    const isMemory = controllers.split(',').includes('memory');
    return isMemory ? limitsAlong(join(root, 'memory'), path, 'memory.limit_in_bytes') : [];
  });
  return Math.min(Number.POSITIVE_INFINITY, ...limits);
}

/**
 * Of the folder at `path` and all above. In a container the path may be the host's: then the mount itself is its own.
 */
function limitsAlong(mount: string, path: string, file: string): number[] {
  const parts = path.split('/').filter((part) => part !== '' && part !== '..');
  return Array.from({ length: parts.length + 1 }, (_, depth) =>
    readLimit(join(mount, ...parts.slice(0, depth), file)),
  );
}

/** `max` in version 2, a number near 2^63 in version 1: no limit. */
function readLimit(file: string): number {
  try {
    const limit = Number(readFileSync(file, 'utf8'));
    return Number.isFinite(limit) ? limit : Number.POSITIVE_INFINITY;
  } catch {
    return Number.POSITIVE_INFINITY; // there is no such folder here, or the controller is off
  }
}
