/** /metrics: every number is read from one observation, made when it is asked for. */
import { Counter, Gauge, type Histogram, Registry } from 'prom-client';
import { LATENESS_BUCKETS_MS } from '../vrrp/driver/lateness.ts';
import { CONFLICTS } from '../vrrp/driver/counters.ts';
import { REJECT_REASONS } from '../vrrp/receive.ts';
import { MESSAGE_REJECTS } from '../takeover/message.ts';
import type { TakeoverCounts } from '../takeover/driver/takeover.ts';
import type { Observation } from './status.ts';

type Sample = { readonly labels: Readonly<Record<string, string>>; readonly value: number };
type Metric = {
  readonly name: string;
  readonly help: string;
  readonly labels: readonly string[];
  readonly read: (observation: Observation) => readonly Sample[];
};

const ROUTER = ['vrid', 'family', 'vip'] as const;

/** One sample per virtual router. */
function perRouter(
  read: (
    router: Observation['election']['routers'][number],
  ) => readonly [Readonly<Record<string, string>>, number][],
): Metric['read'] {
  return ({ election }) =>
    election.routers.flatMap((router) =>
      read(router).map(([labels, value]) => ({
        labels: { vrid: String(router.vrid), family: router.family, vip: router.vip, ...labels },
        value,
      })),
    );
}

function perBackend(
  read: (
    backend: Observation['backends'][number],
    counts: Observation['proxy']['backends'][number] | undefined,
  ) => number,
): Metric['read'] {
  return ({ backends, proxy }) =>
    backends.map((backend, index) => ({
      labels: { backend: backend.id, local: String(backend.local) },
      value: read(backend, proxy.backends[index]),
    }));
}

const one =
  (read: (observation: Observation) => number): Metric['read'] =>
  (observation) => [{ labels: {}, value: read(observation) }];

const takeover =
  (read: (counts: TakeoverCounts) => number): Metric['read'] =>
  (observation) =>
    observation.takeover === null ? [] : [{ labels: {}, value: read(observation.takeover) }];

const STATES = ['Initialize', 'Backup', 'Active'] as const;
const BACKEND = ['backend', 'local'] as const;

const METRICS: readonly Metric[] = [
  {
    name: 'kube_vrrp_info',
    help: 'Always 1; the version is a label',
    labels: ['version'],
    read: (observation) => [{ labels: { version: observation.version }, value: 1 }],
  },
  {
    name: 'kube_vrrp_state',
    help: '1 for the state that the virtual router is in',
    labels: [...ROUTER, 'state'],
    read: perRouter((router) => STATES.map((state) => [{ state }, router.state === state ? 1 : 0])),
  },
  {
    name: 'kube_vrrp_vip_bound',
    help: '1 while this node holds the address',
    labels: ROUTER,
    read: perRouter((router) => [[{}, router.bound ? 1 : 0]]),
  },
  {
    name: 'kube_vrrp_priority',
    help: 'Priority that this node advertises or would advertise (0: giving up)',
    labels: ROUTER,
    read: perRouter((router) => [[{}, router.priority]]),
  },
  {
    name: 'kube_vrrp_drained',
    help: '1 while the node is drained',
    labels: ROUTER,
    read: perRouter((router) => [[{}, router.drained ? 1 : 0]]),
  },
  {
    name: 'kube_vrrp_transitions_total',
    help: 'State changes by cause',
    labels: [...ROUTER, 'cause'],
    read: perRouter((router) =>
      Object.entries(router.counters.transitions).map(([cause, count]) => [{ cause }, count]),
    ),
  },
  {
    name: 'kube_vrrp_advertisements_sent_total',
    help: 'Advertisements sent',
    labels: ROUTER,
    read: perRouter((router) => [[{}, router.counters.sent]]),
  },
  {
    name: 'kube_vrrp_send_errors_total',
    help: 'Advertisements and announcements that the kernel refused',
    labels: ROUTER,
    read: perRouter((router) => [[{}, router.counters.sendErrors]]),
  },
  {
    name: 'kube_vrrp_advertisements_received_total',
    help: 'Advertisements accepted, by the checksum form that matched',
    labels: [...ROUTER, 'checksum'],
    read: perRouter((router) =>
      Object.entries(router.counters.checksumForms).map(([checksum, count]) => [{ checksum }, count]),
    ),
  },
  {
    name: 'kube_vrrp_packets_rejected_total',
    help: 'VRRP packets dropped, by reason',
    labels: [...ROUTER, 'reason'],
    read: perRouter((router) =>
      REJECT_REASONS.map((reason) => [{ reason }, router.counters.rejected[reason]]),
    ),
  },
  {
    name: 'kube_vrrp_mismatches_total',
    help: 'Accepted advertisements that differ from this configuration',
    labels: [...ROUTER, 'field'],
    read: perRouter((router) =>
      Object.entries(router.counters.mismatches).map(([field, count]) => [{ field }, count]),
    ),
  },
  {
    name: 'kube_vrrp_conflicts_total',
    help: 'Advertisements of a second Active, and claims of the VIP by other hosts in ARP or neighbour discovery',
    labels: [...ROUTER, 'kind'],
    read: perRouter((router) => CONFLICTS.map((kind) => [{ kind }, router.counters.conflicts[kind]])),
  },
  {
    name: 'kube_vrrp_discarded_after_stall_total',
    help: 'Packets found queued after a stall, and ignored',
    labels: ROUTER,
    read: perRouter((router) => [[{}, router.counters.discardedAfterStall]]),
  },
  {
    name: 'kube_vrrp_lease_renewals_total',
    help: "Renewals of the address's kernel lifetime",
    labels: ROUTER,
    read: perRouter((router) => [[{}, router.counters.leaseRenewals]]),
  },
  {
    name: 'kube_vrrp_lease_failures_total',
    help: 'Binds and renewals that failed',
    labels: ROUTER,
    read: perRouter((router) => [[{}, router.counters.leaseFailures]]),
  },
  {
    name: 'kube_vrrp_announcements_total',
    help: 'Gratuitous ARPs or unsolicited neighbour advertisements sent',
    labels: ROUTER,
    read: perRouter((router) => [[{}, router.counters.announcements]]),
  },
  {
    name: 'kube_vrrp_health_class',
    help: '1 for the class that the node is in (A: local API server healthy, B: only peers, C: none)',
    labels: ['class'],
    read: ({ healthClass }) =>
      ['A', 'B', 'C'].map((name) => ({ labels: { class: name }, value: healthClass === name ? 1 : 0 })),
  },
  {
    name: 'kube_vrrp_backend_up',
    help: '1 while the API server passes its checks',
    labels: BACKEND,
    read: perBackend((backend) => (backend.state === 'up' ? 1 : 0)),
  },
  {
    name: 'kube_vrrp_backend_misconfigured',
    help: '1 while the API server answers checks with 401 or 403',
    labels: BACKEND,
    read: perBackend((backend) => (backend.misconfigured ? 1 : 0)),
  },
  {
    name: 'kube_vrrp_backend_check_seconds',
    help: 'Duration of the latest check',
    labels: BACKEND,
    read: perBackend((backend) => (backend.lastCheck?.durationMs ?? 0) / 1000),
  },
  {
    name: 'kube_vrrp_backend_connections',
    help: 'Connections to the API server now',
    labels: BACKEND,
    read: perBackend((_, counts) => counts?.connections ?? 0),
  },
  {
    name: 'kube_vrrp_backend_connections_total',
    help: 'Connections opened to the API server',
    labels: BACKEND,
    read: perBackend((_, counts) => counts?.connectionsTotal ?? 0),
  },
  {
    name: 'kube_vrrp_backend_connect_failures_total',
    help: 'Connections to the API server that could not be opened',
    labels: BACKEND,
    read: perBackend((_, counts) => counts?.connectFailures ?? 0),
  },
  {
    name: 'kube_vrrp_backend_sent_bytes_total',
    help: 'Bytes from clients to the API server',
    labels: BACKEND,
    read: perBackend((_, counts) => counts?.bytesToBackend ?? 0),
  },
  {
    name: 'kube_vrrp_backend_received_bytes_total',
    help: 'Bytes from the API server to clients',
    labels: BACKEND,
    read: perBackend((_, counts) => counts?.bytesToClient ?? 0),
  },
  {
    name: 'kube_vrrp_proxy_clients',
    help: 'Client connections now',
    labels: [],
    read: one(({ proxy }) => proxy.clients),
  },
  {
    name: 'kube_vrrp_proxy_accepted_total',
    help: 'Client connections accepted',
    labels: [],
    read: one(({ proxy }) => proxy.accepted),
  },
  {
    name: 'kube_vrrp_proxy_closed_total',
    help: 'Client connections that the proxy closed by itself, by reason',
    labels: ['reason'],
    read: ({ proxy }) => [
      { labels: { reason: 'no_backend' }, value: proxy.refused },
      { labels: { reason: 'limit' }, value: proxy.overLimit },
      { labels: { reason: 'vip_removed' }, value: proxy.closedVipRemoved },
      { labels: { reason: 'source_limit' }, value: proxy.overSourceLimit },
      { labels: { reason: 'forbidden' }, value: proxy.forbidden },
      { labels: { reason: 'backend_down' }, value: proxy.closedBackendDown },
      { labels: { reason: 'age' }, value: proxy.closedAge },
    ],
  },
  {
    name: 'kube_vrrp_proxy_accept_pauses_total',
    help: 'Pauses in accepting connections because they came faster than proxy.acceptRate',
    labels: [],
    read: one(({ proxy }) => proxy.rateLimited),
  },
  {
    name: 'kube_vrrp_proxy_accept_errors_total',
    help: 'Failures to accept a connection, such as too few file descriptors',
    labels: [],
    read: one(({ proxy }) => proxy.acceptErrors),
  },
  {
    name: 'kube_vrrp_takeover_shared_clients',
    help: 'Clients of the VIP on this node that peers are told of',
    labels: [],
    read: takeover(({ shared }) => shared),
  },
  {
    name: 'kube_vrrp_takeover_known_clients',
    help: 'Clients of the VIP on other nodes that peers have told of',
    labels: [],
    read: takeover(({ known }) => known),
  },
  {
    name: 'kube_vrrp_takeover_messages_sent_total',
    help: 'Messages about clients sent to peers',
    labels: [],
    read: takeover(({ messagesSent }) => messagesSent),
  },
  {
    name: 'kube_vrrp_takeover_sent_bytes_total',
    help: 'Payload bytes of the messages about clients sent to peers',
    labels: [],
    read: takeover(({ sentBytes }) => sentBytes),
  },
  {
    name: 'kube_vrrp_takeover_send_errors_total',
    help: 'Messages to peers and prompts to clients that the kernel refused',
    labels: [],
    read: takeover(({ sendErrors }) => sendErrors),
  },
  {
    name: 'kube_vrrp_takeover_messages_received_total',
    help: 'Messages about clients accepted from peers',
    labels: [],
    read: takeover(({ messagesReceived }) => messagesReceived),
  },
  {
    name: 'kube_vrrp_takeover_messages_lost_total',
    help: 'Messages about clients that did not arrive, seen from gaps in their sequence',
    labels: [],
    read: takeover(({ messagesLost }) => messagesLost),
  },
  {
    name: 'kube_vrrp_takeover_messages_rejected_total',
    help: 'Messages about clients dropped, by reason',
    labels: ['reason'],
    read: ({ takeover: counts }) =>
      counts === null
        ? []
        : MESSAGE_REJECTS.map((reason) => ({ labels: { reason }, value: counts.rejected[reason] })),
  },
  {
    name: 'kube_vrrp_takeover_prompts_total',
    help: 'Segments sent to clients of lost holders, so that they notice',
    labels: [],
    read: takeover(({ prompts }) => prompts),
  },
  {
    name: 'kube_vrrp_takeover_clients_total',
    help: 'Clients of lost holders: told of the loss, gone (without a connection any more), or silent',
    labels: ['fate'],
    read: ({ takeover: counts }) =>
      counts === null
        ? []
        : Object.entries(counts.fates).map(([fate, value]) => ({ labels: { fate }, value })),
  },
  {
    name: 'kube_vrrp_thread_heartbeat_age_seconds',
    help: 'How long ago the thread last moved',
    labels: ['thread'],
    read: ({ threads }) =>
      Object.entries(threads).map(([thread, vitals]) => ({
        labels: { thread },
        value: vitals.heartbeatAgeMs / 1000,
      })),
  },
  {
    name: 'kube_vrrp_thread_event_loop_delay_seconds',
    help: 'How late timers of the thread ran in the last ten seconds',
    labels: ['thread', 'quantile'],
    read: ({ threads }) =>
      Object.entries(threads).flatMap(([thread, vitals]) => [
        { labels: { thread, quantile: '0.99' }, value: vitals.delayP99Ms / 1000 },
        { labels: { thread, quantile: '1' }, value: vitals.delayMaxMs / 1000 },
      ]),
  },
  {
    name: 'process_resident_memory_bytes',
    help: 'Resident memory of the whole process',
    labels: [],
    read: () => [{ labels: {}, value: process.memoryUsage.rss() }],
  },
  {
    name: 'process_cpu_seconds_total',
    help: 'CPU time of the whole process',
    labels: [],
    read: () => {
      const { user, system } = process.cpuUsage();
      return [{ labels: {}, value: (user + system) / 1e6 }];
    },
  },
];

const LATENESS = {
  name: 'kube_vrrp_advertisement_lateness_seconds',
  help: 'How late the timer sent advertisements',
};

/** The samples of a Prometheus histogram, which is kept elsewhere. */
function latenessSamples(observation: Observation | null): object[] {
  return (observation?.election.routers ?? []).flatMap(({ vrid, family, vip, counters: { lateness } }) => {
    const labels = { vrid: String(vrid), family, vip };
    let count = 0;
    const buckets = lateness.buckets.map((inBucket, index) => {
      count += inBucket;
      const boundMs = LATENESS_BUCKETS_MS[index];
      const le = boundMs === undefined ? '+Inf' : String(boundMs / 1000);
      return { metricName: `${LATENESS.name}_bucket`, labels: { ...labels, le }, value: count };
    });
    const sum = { metricName: `${LATENESS.name}_sum`, labels, value: lateness.sumMs / 1000 };
    return [...buckets, sum, { metricName: `${LATENESS.name}_count`, labels, value: count }];
  });
}

export class Metrics {
  private readonly registry = new Registry();
  private observation: Observation | null = null;

  constructor() {
    for (const metric of METRICS) {
      if (metric.name.endsWith('_total')) this.addCounter(metric);
      else this.addGauge(metric);
    }
    // prom-client's own histogram only takes observations one by one; a registry asks for no more than this.
    const lateness = {
      name: LATENESS.name,
      get: async () => ({ ...LATENESS, type: 'histogram', values: latenessSamples(this.observation) }),
    };
    this.registry.registerMetric(lateness as unknown as Histogram);
  }

  get contentType(): string {
    return this.registry.contentType;
  }

  /** The exposition text of one observation. */
  render(observation: Observation): Promise<string> {
    this.observation = observation;
    return this.registry.metrics();
  }

  private read(metric: Metric): readonly Sample[] {
    return this.observation === null ? [] : metric.read(this.observation);
  }

  private addGauge(metric: Metric): void {
    const read = (): readonly Sample[] => this.read(metric);
    new Gauge({
      name: metric.name,
      help: metric.help,
      labelNames: [...metric.labels],
      registers: [this.registry],
      collect() {
        this.reset();
        for (const { labels, value } of read()) this.set({ ...labels }, value);
      },
    });
  }

  /** A counter that is kept elsewhere: set anew at each scrape. */
  private addCounter(metric: Metric): void {
    const read = (): readonly Sample[] => this.read(metric);
    new Counter({
      name: metric.name,
      help: metric.help,
      labelNames: [...metric.labels],
      registers: [this.registry],
      collect() {
        this.reset();
        for (const { labels, value } of read()) this.inc({ ...labels }, value);
      },
    });
  }
}
