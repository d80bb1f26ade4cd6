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
/** For a successor to be heard: longer than any election takes at the default interval. */
const HOLDER_TIMEOUT_MS = 2000;
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
    const what = holder === undefined ? 'given up, and no node has taken it,' : `handed over to ${holder}`;
    print(`${vip} ${what} within ${Math.round(elapsedMs)} ms`);
  }
}

/** Where a drain is: what the daemon said last, and what this node held at first. */
class Drain {
  readonly #startMs = monotonicMs();
  readonly #heldAtFirst: Held;
  #status: Status;
  #held: Held;
  #wasDrained = false;

  constructor(status: Status) {
    this.#status = status;
    this.#held = heldVips(status);
    this.#heldAtFirst = this.#held;
  }

  get heldVips(): string {
    return [...this.#held.keys()].join(', ');
  }

  get elapsedMs(): number {
    return monotonicMs() - this.#startMs;
  }

  /** A node that holds nothing has only to confirm that it stays away. */
  get isDone(): boolean {
    return this.#held.size === 0 && (this.#heldAtFirst.size > 0 || this.#status.drained);
  }

  /** The daemon has given the drain up: the address must stay at some node. */
  get isTakenBack(): boolean {
    return this.#held.size > 0 && this.#wasDrained && !this.#status.drained;
  }

  /** The VIPs that this node has given up, and that no other node is known to have. */
  get withoutHolder(): string[] {
    return this.#status.virtualRouters
      .filter(({ vip, active }) => this.#heldAtFirst.has(vip) && !this.#held.has(vip) && active === null)
      .map(({ vip }) => vip);
  }

  update(status: Status): void {
    this.#wasDrained = this.#status.drained;
    this.#status = status;
    reportMoves(this.#held, status, this.elapsedMs);
    this.#held = heldVips(status);
  }
}

async function waitForHandover(endpoint: Endpoint, timeoutMs: number): Promise<number> {
  const first = await fetchStatus(endpoint, ANSWER_TIMEOUT_MS);
  const { node } = first;
  const drain = new Drain(first);
  if (drain.heldVips !== '') print(`${node} is draining: waiting for another node to take ${drain.heldVips}`);
  while (!drain.isDone) {
    if (drain.isTakenBack) return fail(describeTakenBack(node, drain.heldVips));
    if (drain.elapsedMs >= timeoutMs) return fail(describeTimeout(node, drain.heldVips));
    await sleep(POLL_MS);
    drain.update(await fetchStatus(endpoint, ANSWER_TIMEOUT_MS));
  }
  print(`${node} is drained: it does not take the VIP until "kube-vrrp undrain" or a restart`);
  const doneMs = drain.elapsedMs;
  while (drain.withoutHolder.length > 0) {
    if (drain.elapsedMs - doneMs >= HOLDER_TIMEOUT_MS)
      return fail(describeWithoutHolder(drain.withoutHolder.join(', ')));
    await sleep(POLL_MS);
    drain.update(await fetchStatus(endpoint, ANSWER_TIMEOUT_MS));
  }
  return 0;
}

function fail(text: string): number {
  printError(`kube-vrrp drain: ${text}`);
  return 1;
}

function describeTakenBack(node: string, vips: string): string {
  return `no other node took ${vips}, so ${node} keeps it and is not drained: see why in the other nodes' "kube-vrrp status", or use --force`;
}

function describeTimeout(node: string, vips: string): string {
  return vips === ''
    ? `${node} has not confirmed the drain in time: see "kube-vrrp status"`
    : `${node} still holds ${vips}: no other node has taken it; the drain goes on, see "kube-vrrp status"`;
}

function describeWithoutHolder(vips: string): string {
  return `no node holds ${vips} now, so clients reach no API server through it: make another node healthy, or run "kube-vrrp undrain" here`;
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
