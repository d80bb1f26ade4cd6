/** What the demo prints: one line per happening, with the time since the start. */
import { monotonicMs } from '../../src/runtime/clock.ts';

const COLORS = { lab: 2, daemon: 0, vip: 32, client: 33, step: 1, problem: 31 } as const;

export type Speaker = keyof typeof COLORS;

const SPEAKER_WIDTH = 8;

export class Timeline {
  readonly #startMs = monotonicMs();
  readonly #hasColors = process.stdout.isTTY && process.env['NO_COLOR'] === undefined;

  /** Prints one line: who speaks (`host-1`, `VIP`), and what. */
  say(kind: Speaker, who: string, text: string): void {
    const seconds = ((monotonicMs() - this.#startMs) / 1000).toFixed(2);
    this.print(kind, `${seconds.padStart(7)} s  ${who.padEnd(SPEAKER_WIDTH)} ${text}`);
  }

  /** Prints a line without a time. */
  print(kind: Speaker, line: string): void {
    const color = COLORS[kind];
    console.log(this.#hasColors && color > 0 ? `\x1b[${color}m${line}\x1b[0m` : line);
  }
}

/** A table with a heading, columns as wide as their widest cell. */
export function formatTable(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? '').length)),
  );
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd();
  const [heading = [], ...body] = rows;
  return [line(heading), line(widths.map((width) => '-'.repeat(width))), ...body.map(line)];
}
