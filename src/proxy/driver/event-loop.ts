/**
 * The event loop of a proxy thread: sockets that Node does not know, by epoll, and Node's own loop as one of them.
 *
 * The thread waits in `epoll_wait` here rather than in Node's, because a turn through Node for each event costs more
 * than the event. Node's loop is itself a descriptor (its epoll), so a message for the thread, or whatever else Node
 * has to do, ends the wait at once and Node gets its turn. Node's timers alone do not: inside this loop there are
 * deadlines.
 */
import { required } from '../../net/libc.ts';
import { monotonicMs } from '../../runtime/clock.ts';
import { Epoll, EPOLLIN } from './epoll.ts';
import { nodeLoopDescriptor } from './node-loop.ts';

/** Whoever has a descriptor in the loop. */
export type Watcher = {
  /** `events`: what epoll said, a mask of EPOLL…. */
  ready(fd: number, events: number): void;
};

/** Whoever has more to do than one turn allows. */
export type Task = {
  /** True when it wants another turn. */
  run(): boolean;
};

const MAX_EVENTS = 256;
/** Without a deadline the thread still looks up now and then. */
const MAX_WAIT_MS = 1000;
/** Under load Node gets a turn this often even when it has not asked for one. */
const MAX_AWAY_MS = 20;

/** A moment at which something is to be done: armed again by whoever needs it. */
export class Deadline {
  atMs = Number.POSITIVE_INFINITY;
  readonly run: () => void;

  constructor(run: () => void) {
    this.run = run;
  }
}

export class EventLoop {
  /** Time of the latest look at the clock, monotonicMs: good enough for everything in a turn. */
  nowMs = monotonicMs();
  readonly #epoll = new Epoll(MAX_EVENTS);
  readonly #nodeFd: number;
  readonly #watchers: (Watcher | undefined)[] = [];
  readonly #marks: number[] = [];
  #lastMark = 0;
  readonly #deadlines: Deadline[] = [];
  #tasks: Task[] = [];
  #nodeIsDue = false;
  #isRunning = true;
  readonly #onTurn: (durationMs: number) => void;

  private constructor(nodeFd: number, onTurn: (durationMs: number) => void) {
    this.#nodeFd = nodeFd;
    this.#onTurn = onTurn;
    required(this.#epoll.add(nodeFd, EPOLLIN, 0), 'cannot watch the event loop of Node');
    setImmediate(this.#turns);
  }

  /** `onTurn` hears how long each turn took, the waiting aside. */
  static async start(onTurn: (durationMs: number) => void = () => {}): Promise<EventLoop> {
    return new EventLoop(await nodeLoopDescriptor(), onTurn);
  }

  /** False when the kernel lacks memory for it, or the user has too many watches (fs.epoll.max_user_watches). */
  watch(fd: number, events: number, watcher: Watcher): boolean {
    this.#lastMark = (this.#lastMark + 1) | 0;
    if (this.#epoll.add(fd, events, this.#lastMark) < 0) return false;
    this.#watchers[fd] = watcher;
    this.#marks[fd] = this.#lastMark;
    return true;
  }

  /** To be called before `fd` is closed; with `staysOpen` it is not going to be. */
  unwatch(fd: number, staysOpen = false): void {
    this.#watchers[fd] = undefined;
    if (staysOpen) this.#epoll.remove(fd);
  }

  /** `run` is called when `atMs` has come, once; setting `atMs` arms it. */
  deadline(run: () => void): Deadline {
    const deadline = new Deadline(run);
    this.#deadlines.push(deadline);
    return deadline;
  }

  /** Arms `deadline`, unless it is. */
  arm(deadline: Deadline, inMs: number): void {
    if (deadline.atMs === Number.POSITIVE_INFINITY) deadline.atMs = this.nowMs + inMs;
  }

  /** Runs the task in the next turn, after everybody else has had a turn. */
  later(task: Task): void {
    this.#tasks.push(task);
  }

  /** Whoever settles a promise calls this, so that those who wait for it get to run. */
  giveNodeATurn(): void {
    this.#nodeIsDue = true;
  }

  /** Nothing is called any more; what is watched must be closed by its owner. */
  stop(): void {
    if (!this.#isRunning) return;
    this.#isRunning = false;
    this.#epoll.close();
  }

  readonly #turns = (): void => {
    this.#nodeIsDue = false;
    const leaveAtMs = monotonicMs() + MAX_AWAY_MS;
    while (this.#isRunning) {
      this.#turn();
      if (this.#nodeIsDue || this.nowMs >= leaveAtMs) break;
    }
    if (this.#isRunning) setImmediate(this.#turns);
  };

  #turn(): void {
    const count = this.#epoll.wait(this.#waitMs());
    this.nowMs = monotonicMs();
    const fromMs = this.nowMs;
    for (let index = 0; index < count && this.#isRunning; index += 1) {
      const fd = this.#epoll.fdAt(index);
      if (fd === this.#nodeFd) this.#nodeIsDue = true;
      else if (this.#marks[fd] === this.#epoll.markAt(index)) {
        this.#watchers[fd]?.ready(fd, this.#epoll.eventsAt(index));
      }
    }
    this.#runTasks();
    for (const deadline of this.#deadlines) {
      if (deadline.atMs > this.nowMs || !this.#isRunning) continue;
      deadline.atMs = Number.POSITIVE_INFINITY;
      deadline.run();
      this.#nodeIsDue = true;
    }
    if (count > 0) this.#onTurn(monotonicMs() - fromMs);
  }

  #runTasks(): void {
    if (this.#tasks.length === 0) return;
    const tasks = this.#tasks;
    this.#tasks = [];
    for (const task of tasks) {
      if (this.#isRunning && task.run()) this.#tasks.push(task);
    }
  }

  #waitMs(): number {
    if (this.#tasks.length > 0) return 0;
    let atMs = monotonicMs() + MAX_WAIT_MS;
    const endMs = atMs;
    for (const deadline of this.#deadlines) atMs = Math.min(atMs, deadline.atMs);
    return Math.max(0, Math.ceil(atMs - endMs + MAX_WAIT_MS));
  }
}
