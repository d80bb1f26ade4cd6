/** The log on standard output: pino, JSON or text, without ever blocking the thread that writes it. */
import pino from 'pino';
import type { Config } from '../config/config.ts';
import type { LogRecord } from './messages.ts';

/** When nobody reads standard output, this much waits; what comes after is dropped. */
const MAX_WAITING_BYTES = 1024 * 1024;

export type LogSink = { readonly write: (record: LogRecord) => void; readonly flush: () => void };

export function openLog(config: Config['log']): LogSink {
  const destination = pino.destination({ fd: 1, sync: false, maxLength: MAX_WAITING_BYTES });
  let timeMs = Date.now();
  const logger = pino(
    {
      level: config.level,
      base: null,
      formatters: { level: (label) => ({ level: label }) },
      // Records of other threads keep the time at which they were made.
      timestamp: () => `,"time":"${new Date(timeMs).toISOString()}"`,
    },
    config.format === 'json' ? destination : { write: (line) => destination.write(toText(line)) },
  );
  return {
    write: (record) => {
      timeMs = record.timeMs;
      logger[record.level](record.fields, record.message);
    },
    flush: () => destination.flushSync(),
  };
}

/** `2026-11-23T08:00:00.000Z INFO  Backup -> Active: ... vrid=51` */
function toText(line: string): string {
  const { time, level, msg, ...fields } = JSON.parse(line) as Record<string, unknown>;
  const tail = Object.entries(fields).map(
    ([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  );
  return `${[String(time), String(level).toUpperCase().padEnd(5), String(msg), ...tail].join(' ')}\n`;
}
