/** What /metrics says of the proxy's clients. */
import { ENDINGS } from '../../proxy/endings.ts';
import { labeled, type Metric, single } from './metric.ts';

export const PROXY_METRICS: readonly Metric[] = [
  single('kube_vrrp_proxy_clients', 'Client connections now', ({ proxy }) => proxy.clients),
  single(
    'kube_vrrp_proxy_listeners',
    'Proxy threads whose listener takes clients in now',
    ({ proxy }) => proxy.listeners,
  ),
  single('kube_vrrp_proxy_accepted_total', 'Client connections accepted', ({ proxy }) => proxy.accepted),
  labeled(
    'reason',
    'kube_vrrp_proxy_closed_total',
    'Client connections that have ended, or were turned away, by reason',
    ({ proxy }) => [
      ...ENDINGS.map((ending) => [ending, proxy.endings[ending]] as const),
      ['limit', proxy.overLimit],
      ['source_limit', proxy.overSourceLimit],
      ['forbidden', proxy.forbidden],
    ],
  ),
  single(
    'kube_vrrp_proxy_accept_pauses_total',
    'Pauses in accepting connections because they came faster than proxy.acceptRate',
    ({ proxy }) => proxy.rateLimited,
  ),
  single(
    'kube_vrrp_proxy_accept_errors_total',
    'Failures to accept a connection, such as too few file descriptors',
    ({ proxy }) => proxy.acceptErrors,
  ),
  single(
    'kube_vrrp_proxy_pipe_shortages_total',
    'Times that the kernel granted no pipe of full size, so that large transfers were copied for a while',
    ({ proxy }) => proxy.pipeShortages,
  ),
];
