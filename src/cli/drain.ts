/** `kube-vrrp drain`. */
import { setTimeout as sleep } from 'node:timers/promises';

import { parseDuration } from '../config/duration.ts';
import { quoteValue } from '../config/problem.ts';
import type { Status } from '../daemon/status.ts';
import { monotonicMs } from '../runtime/clock.ts';
import type { Invocation } from './arguments.ts';
import { ask, controlEndpoint, DaemonError, fetchStatus, type Endpoint } from './daemon-client.ts';
import { loadAdminConfig, reportProblems } from './load-config.ts';
import { print, printError } from './terminal.ts';

const ANSWER_TIMEOUT_MS = 5000;
const POLL_MS = 100;
const DEFAULT_TIMEOUT = '30s';
const TIMEOUT_MAX_MS = 3_600_000;

type Held = ReadonlyMap<string, Status['virtualRouters'][number]>;

function heldVips({ virtualRouters }: Status): Held {
  return new Map(
    virtualRouters
      .filter(({ state, bound }) => state === 'Active' || bound)
      .map((router) => [router.vip, router]),
  );
}

/** Says which VIPs have gone since `before`, and to whom. */
function reportMoves(before: Held, status: Status, elapsedMs: number): void {
  const now = heldVips(status);
  for (const vip of before.keys()) {
    if (now.has(vip)) continue;
    const holder = status.virtualRouters.find((router) => router.vip === vip)?.active?.address;
    const what = holder === undefined ? 'given up, and nobody has taken it,' : `handed over to ${holder}`;
    print(`${vip} ${what} within ${Math.round(elapsedMs)} ms`);
  }
}

async function waitForHandover(endpoint: Endpoint, timeoutMs: number): Promise<number> {
  const startMs = monotonicMs();
  let status = await fetchStatus(endpoint, ANSWER_TIMEOUT_MS);
  let held = heldVips(status);
  if (held.size > 0)
    print(`${status.node} is draining: waiting for another node to take ${[...held.keys()].join(', ')}`);
  let wasDrained = status.drained;
  while (held.size > 0) {
    const kept = [...held.keys()].join(', ');
    // The daemon has taken the drain back: somebody must hold the address.
    if (wasDrained && !status.drained) {
      printError(
        `kube-vrrp drain: no other node took ${kept}, so ${status.node} keeps it and is not drained: see why in the other nodes' "kube-vrrp status", or use --force`,
      );
      return 1;
    }
    wasDrained = status.drained;
    if (monotonicMs() - startMs >= timeoutMs) {
      printError(
        `kube-vrrp drain: ${status.node} still holds ${kept}: no other node has taken it; the drain goes on, see "kube-vrrp status"`,
      );
      return 1;
    }
    await sleep(POLL_MS);
    status = await fetchStatus(endpoint, ANSWER_TIMEOUT_MS);
    reportMoves(held, status, monotonicMs() - startMs);
    held = heldVips(status);
  }
  print(`${status.node} is drained: it does not take the VIP until "kube-vrrp undrain" or a restart`);
  return 0;
}

async function drainAt(endpoint: Endpoint, force: boolean, timeoutMs: number): Promise<number> {
  const { status, body } = await ask(
    endpoint,
    'POST',
    force ? '/drain?force=true' : '/drain',
    ANSWER_TIMEOUT_MS,
  );
  if (status === 200) return waitForHandover(endpoint, timeoutMs);
  printError(`kube-vrrp drain: ${refusalText(body)}`);
  return 1;
}

/** The sentence of an answer that refuses: `{"error": "..."}`. */
function refusalText(body: unknown): string {
  const error: unknown =
    typeof body === 'object' && body !== null && 'error' in body ? body.error : undefined;
  return typeof error === 'string' ? error : 'refused without a reason';
}

/** Runs `act` with the control socket of the daemon, and turns what can go wrong on the way into exit codes. */
export async function withControlSocket(
  command: 'drain' | 'undrain',
  invocation: Invocation,
  act: (endpoint: Endpoint) => Promise<number>,
): Promise<number> {
  const admin = await loadAdminConfig(invocation);
  if (!admin.ok) return reportProblems(command, admin.problems);
  const endpoint = controlEndpoint(admin.value);
  if (endpoint === null) {
    printError(`kube-vrrp ${command}: admin.socket is off, so there is nothing to ask: set it to a path`);
    return 2;
  }
  try {
    return await act(endpoint);
  } catch (error) {
    if (!(error instanceof DaemonError)) throw error;
    printError(`kube-vrrp ${command}: ${error.message}`);
    return 1;
  }
}

/** Drains this node and waits until it holds no VIP; 1 when refused or when that takes too long. */
export async function drainCommand(invocation: Invocation): Promise<number> {
  const given = invocation.options.get('timeout') ?? DEFAULT_TIMEOUT;
  const timeoutMs = parseDuration(String(given));
  if (timeoutMs === null || timeoutMs > TIMEOUT_MAX_MS) {
    const message = 'expected a duration of at most 60m, such as 30s';
    const problem = { path: '--timeout', value: quoteValue(given), message, where: null };
    return reportProblems('drain', [...invocation.problems, problem]);
  }
  const force = invocation.options.has('force');
  return withControlSocket('drain', invocation, (endpoint) => drainAt(endpoint, force, timeoutMs));
}
