/** What a process of the pod may do, for tests that run as root with every capability. */
import { FixedMemory, libc, required } from '../net/libc.ts';
import { F_GETPIPE_SZ, NONBLOCK_CLOEXEC } from '../net/linux.ts';

/** capset(2), version 3: effective, permitted and inheritable, of 32 capabilities each. */
const CAPABILITY_VERSION = 0x2008_0522;
/** NET_ADMIN, NET_RAW and SYS_NICE; and SETUID, without which `withPipePagesUsedUp` cannot change the user. */
const KEPT_CAPABILITIES = (1 << 12) | (1 << 13) | (1 << 23) | (1 << 7);
/** No other process has this user, so none is short of pipes. */
const LONELY_USER = 0x7ead_0000 | (process.pid & 0xffff);
/** As system calls these are of the calling thread alone; glibc's setresuid(3) changes all threads. */
const SETRESUID_BY_ARCH: Readonly<Record<string, number>> = { x64: 117, arm64: 147 };
const CAPSET_BY_ARCH: Readonly<Record<string, number>> = { x64: 126, arm64: 91 };
const UNCHANGED = 0xffff_ffff;
const FULL_PIPE_BYTES = 64 * 1024;
const MAX_PIPES = 4096;

/** Takes all capabilities from the calling thread that the manifest does not grant. Does nothing without root. */
export function keepManifestCapabilities(): void {
  if (process.getuid?.() !== 0) return;
  const header = new FixedMemory(8);
  header.words[0] = CAPABILITY_VERSION;
  const data = Buffer.alloc(24);
  for (const set of [0, 4]) data.writeUInt32LE(KEPT_CAPABILITIES, set);
  const number = CAPSET_BY_ARCH[process.arch] ?? 0;
  required(libc.syscall(number, header.address, data, 0), 'cannot give capabilities up');
}

/**
 * Runs `test` while the calling thread's user has used up fs.pipe-user-pages-soft, so that a new pipe of an
 * unprivileged process has two pages (pipe(7)). Other processes do not notice.
 */
export async function withPipePagesUsedUp(test: () => Promise<void>): Promise<void> {
  const isRoot = process.getuid?.() === 0;
  if (isRoot) becomeUser(LONELY_USER);
  const fds: number[] = [];
  try {
    usePipePagesUp(fds);
    await test();
  } finally {
    for (const fd of fds) libc.close(fd);
    if (isRoot) becomeUser(0);
  }
}

/** The real user alone, which the kernel charges for pipes: another effective one could not read /proc/self. */
function becomeUser(user: number): void {
  const number = SETRESUID_BY_ARCH[process.arch] ?? 0;
  required(libc.syscall(number, user, UNCHANGED, UNCHANGED), `cannot become user ${user}`);
}

function usePipePagesUp(fds: number[]): void {
  const pair = new FixedMemory(8);
  for (let count = 0; count < MAX_PIPES; count += 1) {
    if (libc.pipe2(pair.address, NONBLOCK_CLOEXEC) !== 0) throw new Error('cannot make a pipe: open files?');
    fds.push(...pair.words);
    if (libc.fcntl(pair.words[0] ?? -1, F_GETPIPE_SZ, 0) < FULL_PIPE_BYTES) return;
  }
  throw new Error(`${MAX_PIPES} pipes and all are of full size: is fs.pipe-user-pages-soft 0?`);
}
