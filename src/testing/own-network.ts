/**
 * Commands on a host of their own: a network namespace with `eth0`, whose cable ends in the same namespace. Needs
 * iproute2, and root or a kernel that lets users make namespaces.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { readFileSync, readlinkSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { execute, MAIN, type Outcome } from './command.ts';

/** `cable` is the other end of eth0: what is sent there is what another host on the link sends. */
const CABLE = [
  'ip link set lo up',
  'ip link add eth0 type veth peer name cable',
  'ip link set cable up',
  'ip link set eth0 up',
];

/** Sends one IPv4 packet, header included, out of `cable` ten times a second. */
const SENDER = `
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
s.setsockopt(socket.SOL_SOCKET, 25, b"cable")
packet = bytes.fromhex(sys.argv[1])
while True:
    s.sendto(packet, (socket.inet_ntoa(packet[16:20]), 0))
    time.sleep(0.1)
`;

const PATH = '/usr/sbin:/usr/bin:/sbin:/bin';
const UNSHARE = ['--user', '--net', '--map-root-user', 'sh', '-c'];
/** TCP_LISTEN in /proc/net/tcp (proc_net_tcp.txt). */
const LISTEN = '0A';

function quoted(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}

export type OwnNetwork = {
  /** Shell commands, beginning with those that give eth0 its addresses. */
  readonly setUp: readonly string[];
  /** An IPv4 packet in hexadecimal that another host sends for as long as the command runs. */
  readonly packet?: string;
};

/** Runs `kube-vrrp` with these arguments on a host of its own. */
export function kubeVrrpOn({ setUp, packet }: OwnNetwork, args: readonly string[]): Promise<Outcome> {
  const command = [process.execPath, MAIN, ...args].map(quoted).join(' ');
  const sender = packet === undefined ? '' : `python3 -c ${quoted(SENDER)} ${packet} & sender=$!; `;
  const end = packet === undefined ? '' : '; code=$?; kill $sender; exit $code';
  const script = `${[...CABLE, ...setUp].join(' && ')} && { ${sender}${command}${end}; }`;
  return execute('unshare', [...UNSHARE, script], { PATH });
}

/** `kube-vrrp` with these arguments on a host of its own, as a process that the caller ends. */
export type Running = ChildProcessByStdio<null, Readable, Readable> & { readonly pid: number };

/** Starts it. `nodeFlags` are of Node itself. */
export function startKubeVrrpOn(
  { setUp }: OwnNetwork,
  args: readonly string[],
  nodeFlags: readonly string[] = [],
): Running {
  const command = ['exec', process.execPath, ...nodeFlags, MAIN, ...args].map(quoted).join(' ');
  const script = [...CABLE, ...setUp, command].join(' && ');
  const child = spawn('unshare', [...UNSHARE, script], { stdio: ['ignore', 'pipe', 'pipe'], env: { PATH } });
  if (child.pid === undefined) throw new Error('cannot start unshare: install util-linux');
  return child as Running;
}

/** Starts another one on the same host. */
export function startKubeVrrpBeside({ pid }: Running, args: readonly string[]): Running {
  const enter = ['--target', String(pid), '--user', '--net', '--preserve-credentials'];
  const child = spawn('nsenter', [...enter, process.execPath, MAIN, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH },
  });
  if (child.pid === undefined) throw new Error('cannot start nsenter: install util-linux');
  return child as Running;
}

/** Whether the shell that set the host up has made way for Node. */
export function isNode({ pid }: Running): boolean {
  return readlinkSync(`/proc/${pid}/exe`) === readlinkSync('/proc/self/exe');
}

/** The TCP ports that anything listens on in the network of a process, as `ss -ltn` shows them, in order. */
export function listeningPorts(pid: number): number[] {
  const lines = ['tcp', 'tcp6'].flatMap((file) =>
    readFileSync(`/proc/${pid}/net/${file}`, 'utf8').split('\n').slice(1),
  );
  const ports = lines.flatMap((line) => {
    const [, local = '', , state] = line.trim().split(/\s+/u);
    return state === LISTEN ? [Number.parseInt(local.split(':')[1] ?? '', 16)] : [];
  });
  return [...new Set(ports)].toSorted((a, b) => a - b);
}
