/**
 * Debian's tshark as a neutral reader of VRRP packets: what it makes of each packet that a host sends. tcpdump
 * captures: tshark leaves that to a child, which lives on after a tshark that is killed, until there is one more
 * packet.
 */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { eventually } from './eventually.ts';
import { HOST_INTERFACE, type Host } from './host.ts';
import { LabProcess } from './lab-process.ts';
import type { Lab } from './lab.ts';

const run = promisify(execFile);

const FIELDS = [
  'ip.src',
  'ipv6.src',
  'ip.dst',
  'ipv6.dst',
  'ip.ttl',
  'ipv6.hlim',
  'ip.checksum.status',
  'vrrp.version',
  'vrrp.virt_rtr_id',
  'vrrp.prio',
  'vrrp.addr_count',
  'vrrp.ip_addr',
  'vrrp.ipv6_addr',
  'vrrp.checksum.status',
  'vrrp.auth_string',
  '_ws.malformed',
  '_ws.expert.message',
] as const;

type Field = (typeof FIELDS)[number];
/** Each field as tshark prints it; empty where the packet has none. */
export type ReadPacket = Readonly<Record<Field, string>>;

/** As tshark prints a checksum that it has verified. */
const GOOD = '1';

/** As tcpdump prints a packet: `12:00:00.000000 IP 192.168.100.1 > 224.0.0.18: VRRPv3, ...`. */
const SOURCE = / IP6? (\S+) > /;

export class Tshark {
  readonly #file: string;
  readonly #preferences: readonly string[];
  readonly #process: LabProcess;
  /** Source addresses of the packets captured. */
  readonly #sources: string[] = [];

  private constructor(lab: Lab, host: Host, checksumForm: 'pseudo-header' | 'message') {
    this.#file = join(lab.folder, `${host.name}.pcap`);
    this.#preferences = [
      'ip.check_checksum:TRUE',
      `vrrp.v3_checksum_as_in_v2:${checksumForm === 'message' ? 'TRUE' : 'FALSE'}`,
    ];
    this.#process = new LabProcess({
      namespace: lab.bridgeNamespace,
      command: [
        'tcpdump',
        ...`-i ${host.name} -n -l -U --print -Z root -w ${this.#file}`.split(' '),
        'ip proto 112 or ip6 proto 112',
      ],
      onLine: (line) => this.#sources.push(SOURCE.exec(line)?.[1] ?? ''),
    });
    lab.track(this.#process);
  }

  /** Captures at the host's port of the bridge from now on; packets of other hosts come past there, too. */
  static async start(lab: Lab, host: Host, checksumForm: 'pseudo-header' | 'message'): Promise<Tshark> {
    const reader = new Tshark(lab, host, checksumForm);
    await eventually(() => reader.#process.stderr.includes('listening on'), {
      what: `tcpdump to listen at ${HOST_INTERFACE} of ${host.name}`,
      otherwise: () => reader.#process.stderr,
    });
    return reader;
  }

  /** How many packets from these addresses have been captured by now. */
  countFrom(...sources: readonly string[]): number {
    return this.#sources.filter((source) => sources.includes(source)).length;
  }

  /** Ends the capture. Returns what tshark reads of the packets that come from these addresses. */
  async sentFrom(...sources: readonly string[]): Promise<ReadPacket[]> {
    await this.#process.kill();
    const { stdout } = await run('tshark', [
      ...`-r ${this.#file} -n -T fields -E separator=|`.split(' '),
      ...this.#preferences.flatMap((preference) => ['-o', preference]),
      ...FIELDS.flatMap((field) => ['-e', field]),
    ]);
    return stdout
      .split('\n')
      .filter((line) => line !== '')
      .map(readLine)
      .filter((packet) => sources.includes(packet['ip.src'] || packet['ipv6.src']));
  }
}

function readLine(line: string): ReadPacket {
  const values = line.split('|');
  const entries = FIELDS.map((field, index) => [field, values[index] ?? '']);
  return Object.fromEntries(entries) as ReadPacket;
}

/** What tshark finds wrong with a packet, in words; empty for a good one. */
export function faultsOf(packet: ReadPacket): string[] {
  const isIpv4 = packet['ip.src'] !== '';
  const checks: readonly (readonly [string, boolean])[] = [
    ['IPv4 header checksum', !isIpv4 || packet['ip.checksum.status'] === GOOD],
    ['VRRP checksum', packet['vrrp.checksum.status'] === GOOD],
    ['TTL or hop limit', (packet['ip.ttl'] || packet['ipv6.hlim']) === '255'],
    ['malformed', packet['_ws.malformed'] === ''],
    [`expert: ${packet['_ws.expert.message']}`, packet['_ws.expert.message'] === ''],
  ];
  return checks.filter(([, isGood]) => !isGood).map(([what]) => what);
}
