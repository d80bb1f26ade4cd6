/** Asks the proxy threads for their open connections, and puts the pieces of their answers together. */
import type { ConnectionDetail } from '../proxy/connections.ts';
import type { ProxyCommand, ProxyEvent } from '../proxy/driver/messages.ts';

/** A thread that does not answer within this is left out: the list is for people. */
const ANSWER_MS = 2000;
/** So many may ask at the same time. */
const MAX_OPEN = 8;

type Request = {
  readonly connections: ConnectionDetail[];
  /** Threads whose last piece has not come. */
  waitingFor: number;
  readonly done: () => void;
};

export class ConnectionLists {
  readonly #open = new Map<number, Request>();
  #lastRequest = 0;

  /** All open connections of the threads behind `ports`, oldest first within a thread. */
  async ask(ports: readonly { postMessage(command: ProxyCommand): void }[]): Promise<ConnectionDetail[]> {
    if (ports.length === 0 || this.#open.size >= MAX_OPEN) return [];
    this.#lastRequest += 1;
    const request = this.#lastRequest;
    const connections: ConnectionDetail[] = [];
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ANSWER_MS);
      const done = (): void => {
        clearTimeout(timer);
        resolve();
      };
      this.#open.set(request, { connections, waitingFor: ports.length, done });
      for (const port of ports) port.postMessage({ type: 'listConnections', request });
    });
    this.#open.delete(request);
    return connections;
  }

  /** A piece has come; one without connections is a thread's last. */
  take({ request, connections }: Extract<ProxyEvent, { type: 'connectionList' }>): void {
    const open = this.#open.get(request);
    if (open === undefined) return;
    if (connections.length > 0) {
      open.connections.push(...connections);
      return;
    }
    open.waitingFor -= 1;
    if (open.waitingFor === 0) open.done();
  }
}
