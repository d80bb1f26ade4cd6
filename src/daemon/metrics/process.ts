/** What /metrics says of the process and its threads. */
import { labeled, type Metric, single } from './metric.ts';

export const PROCESS_METRICS: readonly Metric[] = [
  labeled(
    'thread',
    'kube_vrrp_thread_heartbeat_age_seconds',
    'How long ago the thread last moved',
    ({ threads }) =>
      Object.entries(threads).map(([thread, { heartbeatAgeMs }]) => [thread, heartbeatAgeMs / 1000]),
  ),
  {
    name: 'kube_vrrp_thread_event_loop_delay_seconds',
    help: 'How late timers of the thread ran in the last ten seconds',
    labels: ['thread', 'statistic'],
    read: ({ threads }) =>
      Object.entries(threads).flatMap(([thread, { delayP99Ms, delayMaxMs }]) => [
        { labels: { thread, statistic: 'p99' }, value: delayP99Ms / 1000 },
        { labels: { thread, statistic: 'max' }, value: delayMaxMs / 1000 },
      ]),
  },
  single(
    'kube_vrrp_log_records_dropped_total',
    'Records of the log that standard output did not take',
    ({ logRecordsDropped }) => logRecordsDropped,
  ),
  single('process_resident_memory_bytes', 'Resident memory of the whole process', () =>
    process.memoryUsage.rss(),
  ),
  single('process_cpu_seconds_total', 'CPU time of the whole process', () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  }),
];
