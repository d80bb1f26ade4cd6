/** One kube-vrrp on one host, as the tests hold it: its process, its log, its status and its commands. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { stringify } from 'yaml';

import { monotonicMs } from '../../src/runtime/clock.ts';
import type { Status } from '../../src/daemon/status.ts';
import { eventually } from './eventually.ts';
import type { Host, Output } from './host.ts';
import type { LabProcess, ProcessExit } from './lab-process.ts';

/** The emitted JavaScript, as in the image: `npm run build` makes it, and so do the scripts that run the lab. */
const PROGRAM = join(import.meta.dirname, '../../dist/cli/main.js');

/** A configuration file before it is text, with the keys of src/config/schema.ts. */
export type ConfigDocument = { readonly [key: string]: unknown };

export type LogEntry = {
  /** When the lab read the line, CLOCK_MONOTONIC. */
  readonly atMs: number;
  readonly level: string;
  readonly msg: string;
  readonly event: string | null;
  readonly fields: Readonly<Record<string, unknown>>;
  readonly text: string;
};

/** One sample of /metrics. */
export type Metric = {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
};

export type StartOptions = {
  readonly withoutCapabilities?: readonly string[];
  readonly onEntry?: (entry: LogEntry) => void;
};

export class Daemon {
  readonly host: Host;
  readonly configFile: string;
  readonly #process: LabProcess;
  readonly #log: LogEntry[] = [];
  /** Lines of standard output that are not JSON: there should be none. */
  readonly #strayLines: string[] = [];

  /** Writes the configuration into `folder` and starts the daemon. */
  constructor(host: Host, folder: string, config: ConfigDocument, options: StartOptions = {}) {
    this.host = host;
    this.configFile = writeConfig(host, folder, config);
    this.#process = host.spawn({
      command: [process.execPath, PROGRAM, 'run', '--config', this.configFile],
      withoutCapabilities: options.withoutCapabilities ?? [],
      onLine: (line) => {
        const entry = parseLogLine(line);
        if (entry === null) this.#strayLines.push(line);
        else {
          this.#log.push(entry);
          options.onEntry?.(entry);
        }
      },
    });
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** Null while it runs. */
  get exit(): ProcessExit | null {
    return this.#process.exit;
  }

  get exited(): Promise<ProcessExit> {
    return this.#process.exited;
  }

  /** Everything that it has said outside its log. */
  get complaints(): string {
    return [...this.#strayLines, this.#process.stderr].join('\n').trim();
  }

  /** Log entries that `fromMs` or later brought. */
  log(fromMs = 0): readonly LogEntry[] {
    return this.#log.filter(({ atMs }) => atMs >= fromMs);
  }

  /** The log's transitions, for people. */
  transitions(fromMs = 0): readonly LogEntry[] {
    return this.log(fromMs).filter(({ event }) => event === 'transition');
  }

  /** Sends a signal to the daemon's own process. */
  signal(signal: NodeJS.Signals): void {
    this.#process.signal(signal);
  }

  /** Kills it with -9 and waits for the end. */
  async kill(): Promise<void> {
    await this.#process.kill();
  }

  /** Waits for a log entry, an earlier one included. Fails at once when the daemon ends without it. */
  async logged(
    what: string,
    matches: (entry: LogEntry) => boolean,
    { fromMs = 0, deadlineMs = 20_000 } = {},
  ): Promise<LogEntry> {
    const found = await eventually(() => this.log(fromMs).find(matches) ?? this.exit, {
      what: `${this.host.name} to log ${what}`,
      deadlineMs,
      otherwise: () => this.describe(),
    });
    if ('text' in found) return found;
    throw new Error(`${this.host.name} ended without logging ${what}\n${this.describe()}`);
  }

  /** Waits until the proxy listens and the election runs. */
  async ready(): Promise<void> {
    await this.logged('that it is ready', ({ event }) => event === 'ready');
  }

  /** Waits for the end, which must come soon. */
  async ended(deadlineMs = 15_000): Promise<ProcessExit> {
    return eventually(() => this.exit, {
      what: `${this.host.name} to end`,
      deadlineMs,
      otherwise: () => this.describe(),
    });
  }

  async status(): Promise<Status> {
    const { status, body } = await this.host.get('/status');
    if (status !== 200) throw new Error(`/status of ${this.host.name} answered ${status}: ${body}`);
    return JSON.parse(body) as Status;
  }

  async metrics(): Promise<Metric[]> {
    const { status, body } = await this.host.get('/metrics');
    if (status !== 200) throw new Error(`/metrics of ${this.host.name} answered ${status}: ${body}`);
    return parseMetrics(body);
  }

  /** The sum of the samples of a metric that have these labels, and maybe others; throws when there is none. */
  async metric(name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> {
    const samples = (await this.metrics())
      .filter((metric) => metric.name === name)
      .filter((metric) => Object.entries(labels).every(([key, value]) => metric.labels[key] === value));
    if (samples.length === 0) throw new Error(`/metrics has no ${name} with ${JSON.stringify(labels)}`);
    return samples.reduce((sum, { value }) => sum + value, 0);
  }

  /** The samples of a metric by the value of one of its labels; none when there is no such metric. */
  async metricBy(label: string, name: string): Promise<Map<string, number>> {
    const samples = (await this.metrics()).filter((metric) => metric.name === name);
    return new Map(samples.map(({ labels, value }) => [labels[label] ?? '', value]));
  }

  /** Runs another command of the program with the same configuration, such as `drain`. */
  command(...words: readonly string[]): Promise<Output> {
    return runCommand(this.host, this.configFile, ...words);
  }

  /** The end of its log, for the message of a failed test. */
  describe(): string {
    const lines = this.#log.slice(-15).map(({ text }) => `  ${text}`);
    const exit = this.exit === null ? 'runs' : `ended: ${JSON.stringify(this.exit)}`;
    return [`${this.host.name} (${exit}):`, ...lines, this.complaints].join('\n');
  }
}

/** Writes a configuration as YAML and returns the file's path. */
export function writeConfig(host: Host, folder: string, config: ConfigDocument): string {
  const file = join(folder, `${host.name}.yaml`);
  writeFileSync(file, stringify(config));
  return file;
}

/** Runs a command of kube-vrrp to its end on a host. */
export function runCommand(host: Host, configFile: string, ...words: readonly string[]): Promise<Output> {
  return runProgram(host, ...words, '--config', configFile);
}

/** The same for commands without a configuration. */
export function runProgram(host: Host, ...words: readonly string[]): Promise<Output> {
  return host.exec(process.execPath, PROGRAM, ...words);
}

function parseLogLine(text: string): LogEntry | null {
  try {
    const fields = JSON.parse(text) as Record<string, unknown>;
    const { level, msg, event } = fields;
    return {
      atMs: monotonicMs(),
      level: String(level),
      msg: String(msg),
      event: typeof event === 'string' ? event : null,
      fields,
      text,
    };
  } catch {
    return null;
  }
}

/** Samples of the Prometheus text format, without comments. Enough of it for what the daemon prints. */
function parseMetrics(page: string): Metric[] {
  const metrics: Metric[] = [];
  for (const line of page.split('\n')) {
    const [, name, labelText = '', value] = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
    if (name === undefined) continue;
    const pairs = [...labelText.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, key = '', text = '']) => [
      key,
      text,
    ]);
    metrics.push({ name, labels: Object.fromEntries(pairs) as Record<string, string>, value: Number(value) });
  }
  return metrics;
}
