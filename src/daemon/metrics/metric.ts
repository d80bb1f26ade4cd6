/** A metric as /metrics needs it: what it is called, and how it is read from an observation. */
import type { Observation } from '../status.ts';

export type Sample = { readonly labels: Readonly<Record<string, string>>; readonly value: number };

export type Metric = {
  /** Ends in `_total` for a counter; all others are gauges. */
  readonly name: string;
  readonly help: string;
  readonly labels: readonly string[];
  readonly read: (observation: Observation) => readonly Sample[];
};

/** One number for the whole daemon. */
export function single(name: string, help: string, read: (observation: Observation) => number): Metric {
  return { name, help, labels: [], read: (observation) => [{ labels: {}, value: read(observation) }] };
}

/** A number for each value of one label. */
export function labeled(
  label: string,
  name: string,
  help: string,
  read: (observation: Observation) => readonly (readonly [string, number])[],
): Metric {
  return {
    name,
    help,
    labels: [label],
    read: (observation) => read(observation).map(([key, value]) => ({ labels: { [label]: key }, value })),
  };
}
