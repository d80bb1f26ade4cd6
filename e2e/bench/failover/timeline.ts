/** A drawing of single rounds: what each request met, and who had the VIP, over the seconds around a loss. Pure. */
import type { Round, TimelineRequest } from './round.ts';

/** What is drawn, around the loss. */
export const TIMELINE_FROM_MS = -500;
export const TIMELINE_TO_MS = 4500;

const LABEL_WIDTH = 250;
const PLOT_WIDTH = 640;
const ROW_HEIGHT = 34;
const HOST_COLORS = ['#2563eb', '#d97706', '#7c3aed'];

/** For each scenario and contender its first round that has a timeline; requests as marks, holders as bars below. */
export function drawTimelines(rounds: readonly Round[], scenarios: readonly string[]): string {
  const rows = scenarios.flatMap((scenario) =>
    firstOfEach(rounds.filter((round) => round.scenario === scenario)),
  );
  const height = (rows.length + 1) * ROW_HEIGHT + 40;
  const ticks = [0, 1000, 2000, 3000, 4000].map(
    (ms) =>
      `<line x1="${x(ms)}" x2="${x(ms)}" y1="24" y2="${height - 20}" stroke="${ms === 0 ? '#dc2626' : '#ddd'}"/>` +
      `<text x="${x(ms)}" y="${height - 6}" text-anchor="middle">${ms === 0 ? 'loss' : `${ms / 1000} s`}</text>`,
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${LABEL_WIDTH + PLOT_WIDTH + 10}" height="${height}" font-family="sans-serif" font-size="11">`,
    `<text x="4" y="14" font-size="13">Requests, one each 10 ms: green answered, red failed. Below: which node has the VIP, one line each</text>`,
    ...ticks,
    ...rows.map((round, index) => drawRow(round, 30 + index * ROW_HEIGHT)),
    '</svg>\n',
  ].join('\n');
}

function firstOfEach(rounds: readonly Round[]): Round[] {
  const withTimeline = rounds.filter(({ timeline }) => timeline !== undefined);
  return [...Map.groupBy(withTimeline, ({ contender }) => contender).values()].flatMap((group) =>
    group.slice(0, 1),
  );
}

function x(ms: number): number {
  const share = (ms - TIMELINE_FROM_MS) / (TIMELINE_TO_MS - TIMELINE_FROM_MS);
  return Math.round((LABEL_WIDTH + PLOT_WIDTH * Math.min(1, Math.max(0, share))) * 10) / 10;
}

/** One path for all of them: hundreds of elements would make the file large. */
function drawMarks(requests: readonly TimelineRequest[], line: string, color: string): string {
  const path = requests.map(([startMs]) => `M${x(startMs)} ${line}`).join('');
  return `<path d="${path}" stroke="${color}" stroke-width="1"/>`;
}

function drawRow({ scenario, contender, timeline }: Round, y: number): string {
  const requests = timeline?.requests ?? [];
  const marks = [
    drawMarks(
      requests.filter(([, , ok]) => ok),
      `${y}v10`,
      '#16a34a',
    ),
    drawMarks(
      requests.filter(([, , ok]) => !ok),
      `${y}v14`,
      '#dc2626',
    ),
  ];
  const bars = (timeline?.spans ?? []).flatMap(([fromMs, toMs, holders]) =>
    holders.map((host) => {
      const width = Math.max(0.5, x(toMs) - x(fromMs));
      const color = HOST_COLORS[host % HOST_COLORS.length] ?? '#000';
      return `<rect x="${x(fromMs)}" y="${y + 15 + host * 4}" width="${width.toFixed(1)}" height="3" fill="${color}"/>`;
    }),
  );
  return [`<text x="4" y="${y + 12}">${scenario} · ${contender}</text>`, ...marks, ...bars].join('\n');
}
