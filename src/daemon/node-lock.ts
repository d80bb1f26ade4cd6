/**
 * One kube-vrrp for each VIP on a node: a second one would remove the first one's address as a stray one. The lock is
 * an abstract Unix socket named by the VIP (unix(7)): it is there for every process in the host's network, in any
 * container and with any configuration, and goes with its process.
 */
import { type Server, createServer } from 'node:net';
import type { IpAddress } from '../ip/address.ts';
import { errorText } from '../log/error-text.ts';
import { Obstacle } from './obstacle.ts';

const nameOf = (vip: IpAddress): string => `kube-vrrp/${vip.text}`;

export class NodeLock {
  readonly #vips: readonly IpAddress[];
  readonly #servers: Server[] = [];

  constructor(vips: readonly IpAddress[]) {
    this.#vips = vips;
  }

  /** Takes the locks of all VIPs, or none. Rejects with an Obstacle while another process has one of them. */
  async take(): Promise<void> {
    try {
      for (const vip of this.#vips) this.#servers.push(await take(vip));
    } catch (error) {
      await this.release();
      throw error;
    }
  }

  async release(): Promise<void> {
    const servers = this.#servers.splice(0);
    await Promise.all(servers.map((server) => new Promise((resolve) => void server.close(resolve))));
  }
}

function take(vip: IpAddress): Promise<Server> {
  const server = createServer((socket) => socket.destroy());
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const remedy = `end one of the two ("ss -xlp" shows the other as @${nameOf(vip)})`;
      if (error.code === 'EADDRINUSE')
        reject(new Obstacle(`another kube-vrrp on this node has the VIP ${vip.text}: ${remedy}`));
      else reject(new Error(`cannot take the lock @${nameOf(vip)} of this node: ${errorText(error)}`));
    });
    server.listen(`\0${nameOf(vip)}`, () => {
      // Accepting fails when memory is short; the lock stays.
      server.on('error', () => undefined);
      resolve(server);
    });
  });
}
