/** What a configuration that was read again changes: the log level at once, all else after a restart. Pure. */
import type { Config } from '../config/config.ts';

/** A configuration that was read again, or what is wrong with it, for people. */
export type Reread = { readonly config: Config } | { readonly problems: string };

export type Reload = {
  readonly logLevel: Config['log']['level'];
  /** One sentence for the log. */
  readonly text: string;
};

/** What to do about `reread` while `config` is in use. */
export function reloadOf(config: Config, reread: Reread): Reload {
  if ('problems' in reread) {
    const text = `the configuration cannot be used, so the one before stays in use: ${reread.problems}`;
    return { logLevel: config.log.level, text };
  }
  const changed = changedKeys(config, reread.config);
  const logLevel = reread.config.log.level;
  const level = changed.includes('log.level') ? `log.level is ${logLevel} now` : null;
  const later = changed.filter((key) => key !== 'log.level');
  const restart =
    later.length === 0
      ? null
      : `${later.join(', ')} changed and ${later.length === 1 ? 'needs' : 'need'} a restart`;
  const parts = [level, restart].filter((part) => part !== null);
  return { logLevel, text: parts.length === 0 ? 'the configuration has not changed' : parts.join('; ') };
}

/** The keys whose values differ, such as `peers` and `vrrp.priority`. */
function changedKeys(before: Config, after: Config): string[] {
  const [from, to] = [leaves(before), leaves(after)];
  return [...from.keys()].filter((key) => from.get(key) !== to.get(key));
}

function leaves(config: Config): Map<string, string> {
  const found = new Map<string, string>();
  for (const [group, value] of Object.entries(config)) {
    const isGroup = typeof value === 'object' && value !== null && !Array.isArray(value);
    if (!isGroup) found.set(KEY_BY_FIELD[group] ?? group, JSON.stringify(value));
    else
      for (const [name, leaf] of Object.entries(value))
        found.set(`${group}.${KEY_BY_FIELD[name] ?? name}`, JSON.stringify(leaf));
  }
  return found;
}

/** Where the configuration's key has another name than the field. */
const KEY_BY_FIELD: Readonly<Record<string, string>> = {
  vips: 'vip',
  advertisementIntervalMs: 'advertisementInterval',
  preemptDelayMs: 'preemptDelay',
  maxConnectionAgeMs: 'maxConnectionAge',
  intervalMs: 'interval',
  timeoutMs: 'timeout',
  listen: 'address',
};
