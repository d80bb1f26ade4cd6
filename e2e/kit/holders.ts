/** Who has had a VIP in the kernel, and when: a line of time, so that tests can speak about all of it. */
import { parseIp } from '../../src/ip/address.ts';

export type SamplerTask = {
  readonly intervalMs: number;
  readonly hosts: readonly { readonly name: string; readonly pid: number }[];
  /**
   * `ipv6Hex` is the address as /proc/net/if_inet6 writes it, or null for IPv4. A host that has the link `virtualLink`
   * has the address only while that has a carrier; null where no host has such a link.
   */
  readonly addresses: readonly {
    readonly text: string;
    readonly ipv6Hex: string | null;
    readonly virtualLink: string | null;
  }[];
};

/** An address as the sampler is told of it. Throws for a text that is none. */
export function sampledAddress(text: string, virtualLink: string | null): SamplerTask['addresses'][number] {
  const parsed = parseIp(text);
  if (parsed === null) throw new Error(`${text} is not an address`);
  const ipv6Hex = parsed.family === 'IPv6' ? Buffer.from(parsed.octets).toString('hex') : null;
  return { text, ipv6Hex, virtualLink };
}

type Holders = Readonly<Record<string, readonly string[]>>;

/**
 * One line of the sampler: `holders` only where something changed, with the time of the look before, the last one that
 * saw what was until then (its own time where it is the first look). Times are CLOCK_MONOTONIC.
 */
export type Sample =
  | { readonly atMs: number; readonly holders?: undefined }
  | { readonly atMs: number; readonly beforeMs: number; readonly holders: Holders };

export type HolderSpan = {
  readonly fromMs: number;
  readonly toMs: number;
  readonly holders: readonly string[];
};

/** What was seen, and no more: a span ends with the last look that saw it, however late the next one is. */
export class HolderTimeline {
  readonly #changes: { atMs: number; beforeMs: number; holders: Holders }[] = [];
  #lastAtMs = 0;

  record(sample: Sample): void {
    this.#lastAtMs = sample.atMs;
    if (sample.holders !== undefined) this.#changes.push(sample);
  }

  /** Time of the latest look. */
  get lastAtMs(): number {
    return this.#lastAtMs;
  }

  /** Names of the hosts that have the VIP as of the latest look. */
  holders(vip: string): readonly string[] {
    return this.#changes.at(-1)?.holders[vip] ?? [];
  }

  /** The spans of unchanged holders of one VIP from `fromMs` until the latest look. */
  spans(vip: string, fromMs = 0): HolderSpan[] {
    const spans: HolderSpan[] = [];
    for (const [index, { atMs, holders }] of this.#changes.entries()) {
      const toMs = this.#changes[index + 1]?.beforeMs ?? this.#lastAtMs;
      const own = holders[vip] ?? [];
      const previous = spans.at(-1);
      // What ended at this very moment is past; the latest picture counts though it may have lasted no time yet.
      if (toMs < fromMs || (toMs === fromMs && index < this.#changes.length - 1)) continue;
      if (previous !== undefined && previous.holders.join() === own.join()) {
        spans[spans.length - 1] = { ...previous, toMs };
      } else {
        spans.push({ fromMs: Math.max(atMs, fromMs), toMs, holders: own });
      }
    }
    return spans;
  }

  /**
   * The longest time in one piece with two holders or more, one of them `name` if that is given, ms. One look sees it
   * as at least its own instant.
   */
  longestOverlapMs(vip: string, fromMs = 0, name?: string): number {
    const counts = (holders: readonly string[]): boolean => name === undefined || holders.includes(name);
    return this.#longestMs(vip, fromMs, (holders) => holders.length > 1 && counts(holders));
  }

  /** The longest time in one piece without any holder, ms. */
  longestVacancyMs(vip: string, fromMs = 0): number {
    return this.#longestMs(vip, fromMs, (holders) => holders.length === 0);
  }

  /** The whole history for people: who held the VIP and for how long. */
  describe(vip: string, fromMs = 0): string {
    const lines = this.spans(vip, fromMs).map(({ fromMs: startMs, toMs, holders }) => {
      const who = holders.length === 0 ? 'nobody' : holders.join(' and ');
      return `  ${(startMs - fromMs).toFixed(0).padStart(7)} ms  ${who} for ${(toMs - startMs).toFixed(0)} ms`;
    });
    return [`holders of ${vip}:`, ...lines].join('\n');
  }

  /** Overlaps through several pictures (A+B, then A+B+C) count as one piece. */
  #longestMs(vip: string, fromMs: number, matches: (holders: readonly string[]) => boolean): number {
    let longestMs = 0;
    let pieceFromMs: number | null = null;
    for (const { fromMs: startMs, toMs, holders } of this.spans(vip, fromMs)) {
      if (!matches(holders)) {
        pieceFromMs = null;
        continue;
      }
      pieceFromMs ??= startMs;
      longestMs = Math.max(longestMs, toMs - pieceFromMs, Number.MIN_VALUE);
    }
    return longestMs;
  }
}
