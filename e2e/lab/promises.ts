/**
 * What `npm test` shows of a running cluster: every promise of README.md once, in some minutes. `npm run test:rest` has
 * all other scenarios.
 */
export type Promised = {
  readonly promise: string;
  /** In this folder, without `.test.ts`. */
  readonly file: string;
  /** Names of suites and tests, each behind those of the suites that it is in. */
  readonly scenarios: readonly string[];
};

const DEFAULTS = 'three nodes with the default configuration';
const READERS = 'clients of 192.168.100.10 that only read';

export const PROMISES: readonly Promised[] = [
  {
    promise:
      'one node holds the VIP, and another takes over when it is lost; the kernel fences it; a stop loses nothing',
    file: 'failover',
    scenarios: [DEFAULTS],
  },
  {
    promise: 'requests in progress are finished when the VIP is handed over',
    file: 'handover',
    scenarios: ['handing 192.168.100.10 over'],
  },
  {
    promise: 'no client of a lost holder hangs',
    file: 'takeover',
    scenarios: [
      `${READERS} 1000 of them are reset and come back soon after the holder's link is cut`,
      `${READERS} those on the holder's own host notice when its interface is removed`,
      `${READERS} what did not come from a peer, on this link, in the right form, is dropped and counted`,
    ],
  },
  {
    promise: 'the VIP follows the health of API servers, and stays while all are unhealthy at once',
    file: 'health',
    scenarios: [
      "API servers come and go the holder's API server is killed: the VIP stays, traffic goes to peers",
      'API servers come and go all API servers unhealthy and back: nothing moves, established connections survive',
      'API servers come and go a holder that can reach no API server gives the VIP to a node that can',
    ],
  },
  {
    promise: 'the VIP stays while every core is busy',
    file: 'load',
    scenarios: ['every core busy and the proxy at full throughput for 30 s: no false failover at 100 ms'],
  },
  {
    promise: 'the VIP stays while another program changes the network configuration of the machine',
    file: 'network-lock',
    scenarios: [
      'the network configuration of the machine under other programs 5000 addresses added to another interface of the holder move nothing',
    ],
  },
  {
    promise: 'a network that was split has one holder again within a second',
    file: 'partition',
    scenarios: [
      'partition and heal the holder host-1 alone against the rest: a holder on each side, and one of them within a second of healing',
    ],
  },
  {
    promise: 'IPv4 and IPv6 are elected each, and served',
    file: 'dual-stack',
    scenarios: [
      'dual stack and IPv6 dual stack: each VIP has one holder and is served, after a cut link and after kill -9, too',
    ],
  },
  {
    promise: 'hostile packets cost a counter',
    file: 'hostile',
    scenarios: ['hostile packets each is counted on every node, under its reason, and the VIP does not move'],
  },
  {
    promise: 'a conflict is counted and logged once',
    file: 'conflicts',
    scenarios: ['conflicts another group with the same VRID: counted, said once, and the VIP stays'],
  },
  {
    promise: 'a VIP that another program removes or adds is put right',
    file: 'interference',
    scenarios: [
      'interference from outside the VIP removed with `ip addr del` is back somewhere within a second',
      'interference from outside the VIP added by hand to a Backup, and to the holder with another prefix, is removed; it stays where it was',
    ],
  },
  {
    promise: 'what is missing is named in one sentence and waited for',
    file: 'bad-input',
    scenarios: [
      'mistakes what may yet come is told in one sentence and waited for, and nobody has to restart anything',
      'mistakes everything wrong in the configuration is reported at once, each with its path and value, exit 2',
    ],
  },
  {
    promise: 'check, status, metrics and the log show what the cluster does',
    file: 'operation',
    scenarios: [
      'operation check passes on a node that is ready for the first start',
      'operation of a running cluster admin endpoints: alive, ready, status and metrics tell the same story on every node',
      'operation of a running cluster status prints who holds the VIP, for people and for scripts',
      'operation of a running cluster a transition is one log line with its cause',
    ],
  },
];
