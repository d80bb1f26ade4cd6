/** `kube-vrrp status`. */
import { setTimeout as sleep } from 'node:timers/promises';

import type { Status } from '../daemon/status.ts';
import type { Invocation } from './arguments.ts';
import { adminEndpoint, controlEndpoint, DaemonError, fetchStatus, type Endpoint } from './daemon-client.ts';
import { loadAdminConfig, reportProblems } from './load-config.ts';
import { print, printError, table } from './terminal.ts';

const ANSWER_TIMEOUT_MS = 2000;
const WATCH_PERIOD_MS = 1000;
/** ECMA-48: cursor to the top left, erase to the end of the screen. */
const CLEAR_SCREEN = '\u001B[H\u001B[J';

/** `2d 3h`, `4m 10s`, `12s`: the two largest units. */
export function describeAge(seconds: number): string {
  const parts: [number, string][] = [
    [Math.floor(seconds / 86_400), 'd'],
    [Math.floor(seconds / 3600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'm'],
    [Math.floor(seconds) % 60, 's'],
  ];
  const first = parts.findIndex(([count]) => count > 0);
  if (first === -1) return '0s';
  const shown = parts.slice(first, first + 2).filter(([count]) => count > 0);
  return shown.map(([count, unit]) => `${count}${unit}`).join(' ');
}

/** A holder that advertises priority 0 is about to give the VIP up. */
function describeHolder(active: Status['virtualRouters'][number]['active']): string {
  if (active === null) return 'not known';
  return `${active.address} (${active.priority === 0 ? 'giving up' : active.priority})`;
}

function routerRows({ virtualRouters }: Status, nowMs: number): string[][] {
  return virtualRouters.map((router) => {
    const ageSeconds = Math.max(0, (nowMs - Date.parse(router.sinceIso)) / 1000);
    const state = router.state === 'Active' && !router.bound ? 'Active, not bound' : router.state;
    const active = router.state === 'Active' ? 'this node' : describeHolder(router.active);
    return [
      router.vip,
      String(router.vrid),
      state,
      describeAge(ageSeconds),
      String(router.priority),
      active,
      router.cause,
    ];
  });
}

function backendRows({ backends }: Status): string[][] {
  return backends.map(({ id, local, state, connections, detail, misconfigured }) => {
    const remark = misconfigured ? `${detail}: the check is not allowed; see health.path` : detail;
    return [local ? `${id} (this node)` : id, state, String(connections), remark];
  });
}

const CLASS_MEANINGS = {
  A: 'its own API server is healthy',
  B: 'only API servers of other nodes are healthy',
  U: 'API servers answer, but none can be verified',
  C: 'no API server is healthy',
} as const;

/** The status as lines for people. `nowMs` is Unix time. */
export function formatStatus(status: Status, nowMs: number): string[] {
  const link = status.interface === null ? '' : ` on ${status.interface}`;
  const age = describeAge(status.uptimeSeconds);
  return [
    `${status.node}: kube-vrrp ${status.version}${link}, pid ${status.pid}, up ${age}`,
    ...(status.waitingFor === null ? [] : [`waiting for ${status.waitingFor}`]),
    `health ${status.class}: ${CLASS_MEANINGS[status.class]}`,
    ...(status.drained ? ['drained: this node does not take the VIP until "kube-vrrp undrain"'] : []),
    '',
    ...table([['VIP', 'VRID', 'STATE', 'FOR', 'PRIORITY', 'HOLDER', 'CAUSE'], ...routerRows(status, nowMs)]),
    '',
    ...table([['API SERVER', 'STATE', 'CONNECTIONS', 'LAST CHECK'], ...backendRows(status)]),
    '',
    `${status.clients} client connections`,
  ];
}

async function show(endpoint: Endpoint, asJson: boolean, clear: string): Promise<void> {
  const status = await fetchStatus(endpoint, ANSWER_TIMEOUT_MS);
  if (asJson) print(JSON.stringify(status));
  else print(clear + formatStatus(status, Date.now()).join('\n'));
}

/** Shows the status again and again. A daemon that goes away meanwhile, as in a restart, is waited for. */
async function watch(endpoint: Endpoint, asJson: boolean): Promise<never> {
  const clear = process.stdout.isTTY ? CLEAR_SCREEN : '';
  for (;;) {
    await sleep(WATCH_PERIOD_MS);
    try {
      await show(endpoint, asJson, clear);
    } catch (error) {
      if (!(error instanceof DaemonError)) throw error;
      printError(error.message);
    }
  }
}

/** Shows the status of the daemon on this node; 1 when it does not answer. */
export async function statusCommand(invocation: Invocation): Promise<number> {
  const admin = await loadAdminConfig(invocation);
  if (!admin.ok) return reportProblems('status', admin.problems);
  const endpoint = adminEndpoint(admin.value) ?? controlEndpoint(admin.value);
  if (endpoint === null) {
    printError(
      'kube-vrrp status: admin.address and admin.socket are both off, so there is nothing to ask: set one of them',
    );
    return 2;
  }
  const asJson = invocation.options.has('json');
  try {
    await show(endpoint, asJson, '');
    return invocation.options.has('watch') ? await watch(endpoint, asJson) : 0;
  } catch (error) {
    if (!(error instanceof DaemonError)) throw error;
    printError(`kube-vrrp status: ${error.message}`);
    return 1;
  }
}
