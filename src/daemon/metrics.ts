/** /metrics: every number is read from one observation, made when it is asked for. */
import { Counter, Gauge, type Histogram, Registry } from 'prom-client';
import { BACKEND_METRICS } from './metrics/backends.ts';
import {
  ELECTION_METRICS,
  LATENESS,
  latenessSamples,
  LEASE_DURATION,
  leaseDurationSamples,
} from './metrics/election.ts';
import { labeled, type Metric, type Sample } from './metrics/metric.ts';
import { PROCESS_METRICS } from './metrics/process.ts';
import { PROXY_METRICS } from './metrics/proxy.ts';
import { READINESS_METRICS } from './metrics/readiness.ts';
import { TAKEOVER_METRICS } from './metrics/takeover.ts';
import type { Observation } from './status.ts';

const METRICS: readonly Metric[] = [
  labeled('version', 'kube_vrrp_info', 'Always 1; the version is a label', ({ version }) => [[version, 1]]),
  ...READINESS_METRICS,
  ...ELECTION_METRICS,
  ...BACKEND_METRICS,
  ...PROXY_METRICS,
  ...TAKEOVER_METRICS,
  ...PROCESS_METRICS,
];

export class Metrics {
  readonly #registry = new Registry();
  #observation: Observation | null = null;

  constructor() {
    for (const metric of METRICS) this.#register(metric);
    this.#registerHistogram(LATENESS, latenessSamples);
    this.#registerHistogram(LEASE_DURATION, leaseDurationSamples);
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** The exposition text of one observation. */
  render(observation: Observation): Promise<string> {
    this.#observation = observation;
    return this.#registry.metrics();
  }

  #registerHistogram(
    about: typeof LATENESS | typeof LEASE_DURATION,
    samples: (observation: Observation) => object[],
  ): void {
    // A registry asks for no more than this of a metric.
    const metric = {
      name: about.name,
      get: async () => ({ ...about, values: this.#observation === null ? [] : samples(this.#observation) }),
    };
    this.#registry.registerMetric(metric as unknown as Histogram);
  }

  /** What is kept elsewhere: set anew at each scrape. */
  #register(metric: Metric): void {
    const read = (): readonly Sample[] => (this.#observation === null ? [] : metric.read(this.#observation));
    const options = {
      name: metric.name,
      help: metric.help,
      labelNames: [...metric.labels],
      registers: [this.#registry],
    };
    if (metric.name.endsWith('_total')) {
      new Counter({
        ...options,
        collect() {
          this.reset();
          for (const { labels, value } of read()) this.inc({ ...labels }, value);
        },
      });
      return;
    }
    new Gauge({
      ...options,
      collect() {
        this.reset();
        for (const { labels, value } of read()) this.set({ ...labels }, value);
      },
    });
  }
}
