/** Figures of the benchmark as medians, a table, and a drawing. Pure. */
import type { Round } from './round.ts';

export type Summary = {
  readonly contender: string;
  readonly scenario: string;
  readonly rounds: number;
  readonly medianMs: number;
  readonly p95Ms: number;
  readonly maxMs: number;
  /** In the median round, and in all of them. */
  readonly failedRequests: number;
  readonly failedInAll: number;
  readonly watchMedianMs: number | null;
  readonly watchMaxMs: number | null;
  readonly twoHoldersMaxMs: number;
  readonly vipMovesMax: number;
};

/** The value below which a share of the values lies, by the nearest rank. */
function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}

const finite = (ms: number): number | null => (Number.isFinite(ms) ? ms : null);

export function summarize(rounds: readonly Round[]): Summary[] {
  const groups = Map.groupBy(rounds, ({ contender, scenario }) => `${scenario}\n${contender}`);
  return [...groups.values()].map((group) => {
    const gaps = group.map(({ gapMs }) => gapMs);
    const watches = group.map(({ watchMs }) => watchMs ?? Infinity);
    const failures = group.map(({ failedRequests }) => failedRequests);
    return {
      contender: group[0]?.contender ?? '',
      scenario: group[0]?.scenario ?? '',
      rounds: group.length,
      medianMs: quantile(gaps, 0.5),
      p95Ms: quantile(gaps, 0.95),
      maxMs: Math.max(...gaps),
      failedRequests: quantile(failures, 0.5),
      failedInAll: failures.reduce((sum, failed) => sum + failed, 0),
      watchMedianMs: finite(quantile(watches, 0.5)),
      watchMaxMs: finite(Math.max(...watches)),
      twoHoldersMaxMs: Math.max(...group.map(({ twoHoldersMs }) => twoHoldersMs)),
      vipMovesMax: Math.max(...group.map(({ vipMoves }) => vipMoves)),
    };
  });
}

/** Rows of a table, the heading first. */
export function tableOf(summaries: readonly Summary[]): string[][] {
  const ms = (value: number): string => `${value.toFixed(0)} ms`;
  const watch = (value: number | null): string => (value === null ? 'none ended' : ms(value));
  const heading = ['scenario', 'contender', 'rounds', 'gap median', 'p95', 'max', 'failed', 'in all'];
  return [
    [...heading, 'watches back', 'the latest', 'two holders', 'VIP moves'],
    ...summaries.map((summary) => [
      summary.scenario,
      summary.contender,
      String(summary.rounds),
      ms(summary.medianMs),
      ms(summary.p95Ms),
      ms(summary.maxMs),
      String(summary.failedRequests),
      String(summary.failedInAll),
      watch(summary.watchMedianMs),
      watch(summary.watchMaxMs),
      ms(summary.twoHoldersMaxMs),
      String(summary.vipMovesMax),
    ]),
  ];
}

const ROW_HEIGHT = 18;
const LABEL_WIDTH = 250;
const PLOT_WIDTH = 520;
const MIN_MS = 10;
const MAX_MS = 100_000;
const COLORS = ['#2563eb', '#dc2626', '#d97706', '#059669'];

/** How long new requests went unanswered: for each scenario a bar to the median and a line to the worst, log scale. */
export function drawSvg(summaries: readonly Summary[]): string {
  const contenders = [...new Set(summaries.map(({ contender }) => contender))];
  const x = (ms: number): number =>
    LABEL_WIDTH +
    (PLOT_WIDTH * Math.log(Math.min(MAX_MS, Math.max(MIN_MS, ms)) / MIN_MS)) / Math.log(MAX_MS / MIN_MS);
  const height = (summaries.length + 4) * ROW_HEIGHT;
  const rows = summaries.map(({ contender, scenario, medianMs, maxMs }, index) => {
    const y = (index + 2) * ROW_HEIGHT;
    const color = COLORS[contenders.indexOf(contender) % COLORS.length] ?? '#000';
    return [
      `<text x="4" y="${y + 12}">${scenario} · ${contender}</text>`,
      `<rect x="${x(MIN_MS)}" y="${y + 3}" width="${(x(medianMs) - x(MIN_MS)).toFixed(1)}" height="11" fill="${color}"/>`,
      `<line x1="${x(medianMs).toFixed(1)}" x2="${x(maxMs).toFixed(1)}" y1="${y + 8}" y2="${y + 8}" stroke="${color}" stroke-width="2"/>`,
      `<text x="${(x(maxMs) + 4).toFixed(1)}" y="${y + 12}">${medianMs.toFixed(0)} ms</text>`,
    ].join('\n');
  });
  const ticks = [10, 100, 1000, 10_000, 100_000].map(
    (ms) =>
      `<line x1="${x(ms)}" x2="${x(ms)}" y1="${ROW_HEIGHT * 1.5}" y2="${height - ROW_HEIGHT}" stroke="#ccc"/>` +
      `<text x="${x(ms)}" y="${height - 4}" text-anchor="middle">${ms < 1000 ? `${ms} ms` : `${ms / 1000} s`}</text>`,
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${LABEL_WIDTH + PLOT_WIDTH + 90}" height="${height}" font-family="sans-serif" font-size="11">`,
    `<text x="4" y="14" font-size="13">New requests without an answer: bar to the median, line to the worst of all rounds</text>`,
    ...ticks,
    ...rows,
    '</svg>\n',
  ].join('\n');
}
