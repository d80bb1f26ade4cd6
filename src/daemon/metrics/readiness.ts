/** What /metrics says of the daemon's readiness, from its first moment on. */
import { NOT_READY_REASONS, impediments } from '../readiness.ts';
import { labeled, type Metric, single } from './metric.ts';

export const READINESS_METRICS: readonly Metric[] = [
  single(
    'kube_vrrp_ready',
    '1 while the daemon proxies and stands for election, as /readyz says',
    (observation) => (impediments(observation).length === 0 ? 1 : 0),
  ),
  labeled('reason', 'kube_vrrp_not_ready', '1 for each reason why the daemon is not ready', (observation) => {
    const found = new Set(impediments(observation).map(({ reason }) => reason));
    return NOT_READY_REASONS.map((reason) => [reason, found.has(reason) ? 1 : 0]);
  }),
];
