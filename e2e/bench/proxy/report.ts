/** Figures of the benchmark as medians and ratios, a table, and a drawing. Pure. */

export type Sample = {
  readonly round: number;
  readonly measure: string;
  readonly contender: string;
  readonly figure: string;
  readonly value: number;
};

export type Summary = {
  readonly figure: string;
  readonly contender: string;
  readonly median: number;
  readonly min: number;
  readonly max: number;
  /** To the reference of the same round: the median, least and greatest of the rounds' ratios. */
  readonly ratio: { readonly median: number; readonly min: number; readonly max: number };
};

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  return ((sorted[Math.floor(middle)] ?? Number.NaN) + (sorted[Math.ceil(middle)] ?? Number.NaN)) / 2;
}

const spread = (values: readonly number[]): { median: number; min: number; max: number } => ({
  median: median(values),
  min: Math.min(...values),
  max: Math.max(...values),
});

/** One line per figure and contender; `reference` names the contender that ratios are taken to. */
export function summarize(samples: readonly Sample[], reference: string): Summary[] {
  const groups = Map.groupBy(samples, ({ figure, contender }) => `${figure}\n${contender}`);
  return [...groups.values()].map((group) => {
    const { figure = '', contender = '' } = group[0] ?? {};
    const ratios = group.flatMap(({ round, value }) => {
      const to = samples.find(
        (other) => other.round === round && other.figure === figure && other.contender === reference,
      );
      return to === undefined ? [] : [value / to.value];
    });
    return { figure, contender, ...spread(group.map(({ value }) => value)), ratio: spread(ratios) };
  });
}

function digits(value: number): string {
  if (!Number.isFinite(value)) return '-';
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

/** Rows of a table, the heading first. */
export function tableOf(summaries: readonly Summary[]): string[][] {
  return [
    ['figure', 'contender', 'median', 'least', 'greatest', 'ratio', 'ratio from', 'to'],
    ...summaries.map(({ figure, contender, median: middle, min, max, ratio }) => [
      figure,
      contender,
      ...[middle, min, max, ratio.median, ratio.min, ratio.max].map(digits),
    ]),
  ];
}

const ROW_HEIGHT = 18;
const LABEL_WIDTH = 400;
const PLOT_WIDTH = 440;
const MAX_RATIO = 4;
const COLORS = ['#2563eb', '#dc2626', '#d97706', '#059669'];

/** For each figure and contender: a bar to the median ratio, and a line from the least to the greatest. */
export function drawSvg(summaries: readonly Summary[], reference: string): string {
  const contenders = [...new Set(summaries.map(({ contender }) => contender))];
  const shown = summaries.filter(
    ({ contender, figure }) => contender !== reference && !figure.includes('as it came'),
  );
  const x = (ratio: number): number =>
    LABEL_WIDTH + (PLOT_WIDTH * Math.min(MAX_RATIO, Math.max(0, ratio))) / MAX_RATIO;
  const height = (shown.length + 4) * ROW_HEIGHT;
  const rows = shown.map(({ figure, contender, ratio, median: middle }, index) => {
    const y = (index + 2) * ROW_HEIGHT;
    const color = COLORS[contenders.indexOf(contender) % COLORS.length] ?? '#000';
    return [
      `<text x="4" y="${y + 12}">${figure} · ${contender}</text>`,
      `<rect x="${x(0)}" y="${y + 3}" width="${(x(ratio.median) - x(0)).toFixed(1)}" height="11" fill="${color}"/>`,
      `<line x1="${x(ratio.min).toFixed(1)}" x2="${x(ratio.max).toFixed(1)}" y1="${y + 8}" y2="${y + 8}" stroke="#000" stroke-width="1.5"/>`,
      `<text x="${(x(ratio.max) + 6).toFixed(1)}" y="${y + 12}">${ratio.median.toFixed(2)} (${digits(middle)})</text>`,
    ].join('\n');
  });
  const ticks = [0, 1, 2, 3, 4].map(
    (ratio) =>
      `<line x1="${x(ratio)}" x2="${x(ratio)}" y1="${ROW_HEIGHT * 1.5}" y2="${height - ROW_HEIGHT}" stroke="${ratio === 1 ? '#333' : '#ccc'}"/>` +
      `<text x="${x(ratio)}" y="${height - 4}" text-anchor="middle">${ratio}x</text>`,
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${LABEL_WIDTH + PLOT_WIDTH + 130}" height="${height}" font-family="sans-serif" font-size="11">`,
    `<rect width="100%" height="100%" fill="#fff"/>`,
    `<text x="4" y="14" font-size="13">Ratio to ${reference} in the same round: bar to the median, line from the least to the greatest (value)</text>`,
    ...ticks,
    ...rows,
    '</svg>\n',
  ].join('\n');
}
