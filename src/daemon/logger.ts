/** The log on standard output: pino, JSON or text, without ever blocking the thread that writes it. */
import pino from 'pino';
import type { Config } from '../config/config.ts';
import { LineWriter } from './line-writer.ts';
import type { LogLevel } from '../log/log.ts';
import type { LogRecord } from './messages.ts';

export type LogSink = {
  /** Never throws; what standard output does not take waits, within limits. */
  readonly write: (record: LogRecord) => void;
  /** Records below this level are not written from now on. */
  readonly setLevel: (level: LogLevel) => void;
  /** Resolves when all has been written, or soon. */
  readonly flush: () => Promise<void>;
  /** How many records were dropped. */
  readonly dropped: () => number;
};

/** `fd` is where the log goes, standard output by default. */
export function openLog(config: Config['log'], fd = 1): LogSink {
  const write = (record: LogRecord): void => {
    timeMs = record.timeMs;
    logger[record.level](record.fields, record.message);
  };
  const lines = new LineWriter(fd, (dropped, why) => {
    const message = `${dropped} records of the log were dropped, as standard output took none: ${why}`;
    write({ level: 'warn', message, fields: { event: 'log_dropped', dropped }, timeMs: Date.now() });
  });
  let timeMs = Date.now();
  const logger = pino(
    {
      level: config.level,
      base: null,
      formatters: { level: (label) => ({ level: label }) },
      // Records of other threads keep the time at which they were made.
      timestamp: () => `,"time":"${new Date(timeMs).toISOString()}"`,
    },
    { write: (line) => lines.write(config.format === 'json' ? line : toText(line)) },
  );
  const setLevel = (level: LogLevel): void => {
    logger.level = level;
  };
  return { write, setLevel, flush: () => lines.flush(), dropped: () => lines.dropped };
}

/** `2026-11-23T08:00:00.000Z INFO  Backup -> Active: ... vrid=51` */
function toText(line: string): string {
  const { time, level, msg, ...fields } = JSON.parse(line) as Record<string, unknown>;
  const tail = Object.entries(fields).map(
    ([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  );
  return `${[String(time), String(level).toUpperCase().padEnd(5), String(msg), ...tail].join(' ')}\n`;
}
