/** What the benchmark records of one loss: the figures, and what a drawing of it needs. */

/** A request: when it began, ms after the loss; how long it took; whether it was answered. */
export type TimelineRequest = readonly [startMs: number, tookMs: number, ok: boolean];
/** Who had the VIP: the hosts' places from 0. */
export type TimelineSpan = readonly [fromMs: number, toMs: number, holders: readonly number[]];

export type Timeline = {
  readonly requests: readonly TimelineRequest[];
  readonly spans: readonly TimelineSpan[];
};

/** One loss, as the clients and the kernels saw it. */
export type Round = {
  readonly contender: string;
  readonly scenario: string;
  /** Between answers to new requests, ms: the polling interval when nothing happened. */
  readonly gapMs: number;
  readonly failedRequests: number;
  /** Until the last client that only reads had a new connection, ms; null: not while it was looked at. */
  readonly watchMs: number | null;
  /** Clients that only read whose connection ended at all. */
  readonly watchesEnded: number;
  readonly twoHoldersMs: number;
  readonly vipMoves: number;
  /** Of the machine's last minute when the round began: processes that wanted a CPU. */
  readonly load: number;
  readonly timeline?: Timeline;
};
