/** What /metrics says of the API servers: the class that they make of the node, and each of them. */
import { HEALTH_CLASSES } from '../../node/health-class.ts';
import type { BackendHealth } from '../../health/backend.ts';
import type { ProxyCounts } from '../../proxy/counters.ts';
import { labeled, type Metric } from './metric.ts';

/** One sample per API server. `counts` is what the proxy has counted of it, if it knows it. */
function perBackend(
  name: string,
  help: string,
  read: (backend: BackendHealth, counts: ProxyCounts['backends'][number] | undefined) => number,
): Metric {
  return {
    name,
    help,
    labels: ['backend', 'local'],
    read: ({ backends, proxy }) =>
      backends.map((backend, index) => ({
        labels: { backend: backend.id, local: String(backend.local) },
        value: read(backend, proxy.backends[index]),
      })),
  };
}

export const BACKEND_METRICS: readonly Metric[] = [
  labeled(
    'class',
    'kube_vrrp_health_class',
    '1 for the class that the node is in (A: local API server healthy, B: only peers, C: none)',
    ({ healthClass }) => HEALTH_CLASSES.map((name) => [name, healthClass === name ? 1 : 0]),
  ),
  perBackend('kube_vrrp_backend_up', '1 while the API server passes its checks', ({ state }) =>
    state === 'up' ? 1 : 0,
  ),
  perBackend(
    'kube_vrrp_backend_takes_new_clients',
    '1 while the API server is up, ready, and has not fallen again and again lately',
    ({ state, withheld }) => (state === 'up' && withheld === null ? 1 : 0),
  ),
  perBackend(
    'kube_vrrp_backend_misconfigured',
    '1 while the API server answers checks with 401 or 403',
    ({ misconfigured }) => (misconfigured ? 1 : 0),
  ),
  perBackend(
    'kube_vrrp_backend_check_seconds',
    'Duration of the latest check',
    ({ lastCheck }) => (lastCheck?.durationMs ?? 0) / 1000,
  ),
  perBackend(
    'kube_vrrp_backend_connections',
    'Connections to the API server now',
    (_, counts) => counts?.connections ?? 0,
  ),
  perBackend(
    'kube_vrrp_backend_connections_total',
    'Connections opened to the API server',
    (_, counts) => counts?.connectionsTotal ?? 0,
  ),
  perBackend(
    'kube_vrrp_backend_connect_failures_total',
    'Connections to the API server that could not be opened',
    (_, counts) => counts?.connectFailures ?? 0,
  ),
  perBackend(
    'kube_vrrp_backend_sent_bytes_total',
    'Bytes from clients to the API server',
    (_, counts) => counts?.bytesToBackend ?? 0,
  ),
  perBackend(
    'kube_vrrp_backend_received_bytes_total',
    'Bytes from the API server to clients',
    (_, counts) => counts?.bytesToClient ?? 0,
  ),
  labeled(
    'certificate',
    'kube_vrrp_certificate_expiry_timestamp_seconds',
    'When the certificate that the checks use ends, in seconds since 1970 (ca: the last one in health.caFile; client: health.clientCertFile)',
    ({ certificates }) => certificates.map(({ certificate, expiryMs }) => [certificate, expiryMs / 1000]),
  ),
];
