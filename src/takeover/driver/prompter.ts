/**
 * Prompts the clients of the old holder of one VIP, so that they find out at once and come back.
 *
 * The client's answer to the prompt meets no socket, and the kernel replies RST. A packet filter with connection
 * tracking may take that answer for invalid and drop it, so answers are also read before the filter, from a packet
 * socket, and replied to from here. Two RSTs do no harm.
 */
import { type IpAddress, ipFromOctets } from '../../ip/address.ts';
import { errorText } from '../../log/error-text.ts';
import type { LogLimit } from '../../log/log-limit.ts';
import type { Log } from '../../log/log.ts';
import { monotonicMs } from '../../runtime/clock.ts';
import { ETHERTYPE_IPV4, ETHERTYPE_IPV6 } from '../../wire/frames.ts';
import { EVERY_LINK, LinkSocket } from '../../net/link-socket.ts';
import { RouteLookup } from '../../net/route-lookup.ts';
import { SegmentSocket } from './segment-socket.ts';
import { bareSegmentsTo } from './tcp-filters.ts';
import { type Fate, ResetPlan } from '../reset-plan.ts';
import { promptSegment, readWord, resetSegment, type Service } from '../segment.ts';
import { addressOf, type ClientKey } from '../tuple.ts';

export type PromptCounts = {
  prompts: number;
  sendErrors: number;
  /** Clients by what became of them; `silent`: they did not answer, as those on the lost host. */
  readonly fates: Record<Fate | 'silent', number>;
};

export type PrompterOptions = {
  readonly service: Service;
  /** The index of the interface that the VIP is on now; null when it is gone. */
  readonly linkIndex: () => number | null;
  readonly log: Log;
  /** Of lines about prompts that cannot be sent. */
  readonly limit: LogLimit;
  /** Is added to. */
  readonly counts: PromptCounts;
};

const TURN_MS = 5;
const FRAME_BYTES = 256;
const MAX_FRAMES_PER_TURN = 500;

/** A takeover under way. */
type Run = {
  readonly plan: ResetPlan;
  readonly startedMs: number;
  readonly clients: number;
  readonly segments: SegmentSocket;
  readonly routes: RouteLookup;
  readonly linkIndex: number | null;
  /** By address: whether it is this host's own, or a route of the VIP's interface leads to it. */
  readonly reachable: Map<string, boolean>;
  readonly tap: LinkSocket | null;
  readonly timer: NodeJS.Timeout;
};

export class Prompter {
  readonly #options: PrompterOptions;
  readonly #frame = new Uint8Array(FRAME_BYTES);
  #run: Run | null = null;

  constructor(options: PrompterOptions) {
    this.#options = options;
  }

  /** Prompts these, the first first; ends what is under way. */
  begin(clients: readonly ClientKey[]): void {
    if (clients.length === 0) return;
    const { service, linkIndex, log } = this.#options;
    let segments: SegmentSocket | null = null;
    let routes: RouteLookup;
    try {
      segments = new SegmentSocket(service.vip.family);
      routes = new RouteLookup();
    } catch (error) {
      segments?.close();
      const text = `${clients.length} clients of the old holder are left to their timeouts: ${errorText(error)}`;
      log('warn', text, { event: 'takeover_failed', vip: service.vip.text });
      return;
    }
    this.end(null);
    const startedMs = monotonicMs();
    this.#run = {
      plan: new ResetPlan(clients, startedMs),
      startedMs,
      clients: clients.length,
      segments,
      routes,
      linkIndex: linkIndex(),
      reachable: new Map(),
      tap: this.#openTap(service.vip),
      timer: setInterval(() => this.#turn(), TURN_MS),
    };
  }

  /** A client has come back by itself. */
  cameBack(client: ClientKey): void {
    this.#run?.plan.settle(client, 'told');
  }

  /** Prompts nobody any more. `why` is null when all is done. */
  end(why: string | null): void {
    const run = this.#run;
    if (run === null) return;
    const { service, log, counts } = this.#options;
    this.#run = null;
    clearInterval(run.timer);
    run.segments.close();
    run.routes.close();
    run.tap?.close();
    const { fates } = run.plan;
    for (const fate of ['told', 'gone', 'elsewhere', 'silent'] as const) counts.fates[fate] += fates[fate];
    const tookMs = Math.round(monotonicMs() - run.startedMs);
    const text = `of ${run.clients} clients of the old holder, ${fates.told} noticed the move within ${tookMs} ms, ${fates.gone} no longer had a connection, ${fates.silent} did not answer`;
    const unreached =
      fates.elsewhere === 0
        ? ''
        : `, ${fates.elsewhere} were left alone because no route of the VIP's interface leads to them`;
    log('info', `${text}${unreached}${why === null ? '' : `; ended early: ${why}`}`, {
      event: 'takeover',
      vip: service.vip.text,
      clients: run.clients,
      ...fates,
    });
  }

  /** Null where it cannot be had: then the kernel's RSTs have to do. */
  #openTap(vip: IpAddress): LinkSocket | null {
    const etherType = vip.family === 'IPv4' ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6;
    try {
      return new LinkSocket(EVERY_LINK, { etherType, filter: bareSegmentsTo(vip) });
    } catch (error) {
      const text = `clients whose answers a packet filter drops as invalid will hang: ${errorText(error)}`;
      this.#options.log('warn', text, { event: 'takeover_tap', vip: vip.text });
      return null;
    }
  }

  #turn(): void {
    const run = this.#run;
    if (run === null) return;
    const { service, counts } = this.#options;
    try {
      this.#answer(run);
      for (const { key, round } of run.plan.due(monotonicMs())) {
        if (!reaches(run, key)) {
          run.plan.settle(key, 'elsewhere');
          continue;
        }
        counts.prompts += 1;
        this.#send(run, promptSegment(service, key, round));
      }
    } catch (error) {
      this.end(errorText(error));
      return;
    }
    if (run.plan.isOver(monotonicMs())) this.end(null);
  }

  #answer(run: Run): void {
    const { service } = this.#options;
    for (let count = 0; run.tap !== null && count < MAX_FRAMES_PER_TURN; count += 1) {
      const bytes = run.tap.receive(this.#frame);
      if (bytes === null) return;
      const word = readWord(this.#frame.subarray(0, Math.min(bytes, FRAME_BYTES)), service);
      if (word === null || !run.plan.isWaiting(word.client)) continue;
      run.plan.settle(word.client, word.kind === 'rst' ? 'gone' : 'told');
      // A SYN: a new connection from the same port, to this node, and none of the lost one's.
      if (word.kind === 'ack') this.#send(run, resetSegment(service, word.client, word.expects));
    }
  }

  /** One client that cannot be reached says nothing about the others. */
  #send(run: Run, packet: Uint8Array): void {
    const { log, limit, counts } = this.#options;
    try {
      run.segments.send(packet);
    } catch (error) {
      counts.sendErrors += 1;
      const suppressed = limit.take('segment', monotonicMs());
      if (suppressed === null) return;
      log('warn', `cannot prompt a client: ${errorText(error)}`, { event: 'takeover_send', suppressed });
    }
  }
}

/** What peers tell may be invented: no segment goes by another interface than the VIP's. Throws NetError. */
function reaches({ routes, linkIndex, reachable }: Run, client: ClientKey): boolean {
  const address = addressOf(client);
  const known = reachable.get(address);
  if (known !== undefined) return known;
  const target = routes.find(ipFromOctets(Uint8Array.from(address, (octet) => octet.charCodeAt(0))));
  const isReachable = target?.kind === 'host' || target?.linkIndex === linkIndex;
  reachable.set(address, isReachable);
  return isReachable;
}
