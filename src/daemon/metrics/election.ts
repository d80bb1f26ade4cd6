/** What /metrics says of the election: the virtual routers, by VRID, family and VIP. */
import { CONFLICTS, LEASE_PURPOSES, UNREAD_KINDS } from '../../vrrp/driver/counters.ts';
import { DURATION_BUCKETS_MS, type Durations } from '../../vrrp/driver/durations.ts';
import type { RouterSnapshot } from '../../vrrp/driver/router.ts';
import { CAUSE_KINDS } from '../../vrrp/events.ts';
import { MISMATCHES, REJECT_REASONS } from '../../vrrp/receive.ts';
import type { Observation } from '../status.ts';
import type { Metric } from './metric.ts';

type RouterLabels = { readonly vrid: string; readonly family: string; readonly vip: string };

const ROUTER = ['vrid', 'family', 'vip'] as const;
const STATES = ['Initialize', 'Backup', 'Active'] as const;

function labelsOf({ vrid, family, vip }: RouterSnapshot): RouterLabels {
  return { vrid: String(vrid), family, vip };
}

/** One sample per virtual router. */
function perRouter(name: string, help: string, read: (router: RouterSnapshot) => number): Metric {
  return {
    name,
    help,
    labels: ROUTER,
    read: ({ election }) =>
      election.routers.map((router) => ({ labels: labelsOf(router), value: read(router) })),
  };
}

/** One sample per virtual router and value of one more label. */
function perRouterAnd(
  label: string,
  name: string,
  help: string,
  read: (router: RouterSnapshot) => readonly (readonly [string, number])[],
): Metric {
  return {
    name,
    help,
    labels: [...ROUTER, label],
    read: ({ election }) =>
      election.routers.flatMap((router) =>
        read(router).map(([key, value]) => ({ labels: { ...labelsOf(router), [label]: key }, value })),
      ),
  };
}

export const ELECTION_METRICS: readonly Metric[] = [
  perRouterAnd('state', 'kube_vrrp_state', '1 for the state that the virtual router is in', (router) =>
    STATES.map((state) => [state, router.state === state ? 1 : 0]),
  ),
  perRouter('kube_vrrp_vip_bound', '1 while this node holds the address', ({ bound }) => (bound ? 1 : 0)),
  perRouter(
    'kube_vrrp_priority',
    'Priority that this node advertises or would advertise (0: giving up)',
    ({ priority }) => priority,
  ),
  perRouter('kube_vrrp_drained', '1 while the node is drained', ({ drained }) => (drained ? 1 : 0)),
  perRouterAnd('cause', 'kube_vrrp_transitions_total', 'State changes by cause', ({ counters }) =>
    CAUSE_KINDS.map((kind) => [kind, counters.transitions[kind]]),
  ),
  perRouter('kube_vrrp_advertisements_sent_total', 'Advertisements sent', ({ counters }) => counters.sent),
  perRouter(
    'kube_vrrp_send_errors_total',
    'Advertisements and announcements that the kernel refused',
    ({ counters }) => counters.sendErrors,
  ),
  perRouterAnd(
    'checksum',
    'kube_vrrp_advertisements_received_total',
    'Advertisements accepted, by the checksum form that matched',
    ({ counters }) => Object.entries(counters.checksumForms),
  ),
  perRouterAnd(
    'reason',
    'kube_vrrp_packets_rejected_total',
    'VRRP packets dropped, by reason',
    ({ counters }) => REJECT_REASONS.map((reason) => [reason, counters.rejected[reason]]),
  ),
  perRouterAnd(
    'kind',
    'kube_vrrp_packets_unread_total',
    'VRRP packets that came faster than they are read, by whether they looked like advertisements of this virtual router',
    ({ counters }) => UNREAD_KINDS.map((kind) => [kind, counters.unread[kind]]),
  ),
  perRouterAnd(
    'field',
    'kube_vrrp_mismatches_total',
    'Accepted advertisements that do not fit this configuration: another interval, other addresses, the same priority',
    ({ counters }) => MISMATCHES.map((mismatch) => [mismatch, counters.mismatches[mismatch]]),
  ),
  perRouterAnd(
    'kind',
    'kube_vrrp_conflicts_total',
    'Advertisements of a second Active, and claims of the VIP by other hosts in ARP or neighbor discovery',
    ({ counters }) => CONFLICTS.map((kind) => [kind, counters.conflicts[kind]]),
  ),
  perRouter(
    'kube_vrrp_discarded_after_stall_total',
    'Packets found queued after a stall, and ignored',
    ({ counters }) => counters.discardedAfterStall,
  ),
  perRouter(
    'kube_vrrp_lease_renewals_total',
    "Renewals of the address's kernel lifetime",
    ({ counters }) => counters.leaseRenewals,
  ),
  perRouter(
    'kube_vrrp_lease_failures_total',
    'Binds and renewals that failed',
    ({ counters }) => counters.leaseFailures,
  ),
  perRouter(
    'kube_vrrp_announcements_total',
    'Gratuitous ARPs or unsolicited neighbor advertisements sent',
    ({ counters }) => counters.announcements,
  ),
];

/** Histograms, which are none of prom-client's: that takes observations one by one only. */
export const LATENESS = {
  name: 'kube_vrrp_advertisement_lateness_seconds',
  help: 'How late the timer sent advertisements',
  type: 'histogram',
} as const;

export const LEASE_DURATION = {
  name: 'kube_vrrp_lease_request_duration_seconds',
  help: 'How long the kernel took to bind, renew and unbind the address',
  type: 'histogram',
} as const;

/** The samples of LATENESS as a registry of prom-client asks for them. */
export function latenessSamples({ election }: Observation): object[] {
  return election.routers.flatMap((router) =>
    histogramSamples(LATENESS.name, labelsOf(router), router.counters.lateness),
  );
}

/** The samples of LEASE_DURATION as a registry of prom-client asks for them. */
export function leaseDurationSamples({ election }: Observation): object[] {
  return election.routers.flatMap((router) =>
    LEASE_PURPOSES.flatMap((request) => {
      const labels = { ...labelsOf(router), request };
      return histogramSamples(LEASE_DURATION.name, labels, router.counters.leaseDurations[request]);
    }),
  );
}

function histogramSamples(name: string, labels: object, { buckets, sumMs }: Durations): object[] {
  let count = 0;
  const samples = buckets.map((inBucket, index) => {
    count += inBucket;
    const boundMs = DURATION_BUCKETS_MS[index];
    const le = boundMs === undefined ? '+Inf' : String(boundMs / 1000);
    return { metricName: `${name}_bucket`, labels: { ...labels, le }, value: count };
  });
  const sum = { metricName: `${name}_sum`, labels, value: sumMs / 1000 };
  return [...samples, sum, { metricName: `${name}_count`, labels, value: count }];
}
