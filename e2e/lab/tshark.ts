/** Debian's tshark as a neutral reader of VRRP packets: what it makes of each packet that a host sends. */
import { eventually } from './eventually.ts';
import { HOST_INTERFACE, type Host } from './host.ts';
import { LabProcess } from './lab-process.ts';
import type { Lab } from './lab.ts';

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

export class Tshark {
  readonly packets: ReadPacket[] = [];
  readonly #process: LabProcess;

  private constructor(lab: Lab, host: Host, checksumForm: 'pseudo-header' | 'message') {
    const preferences = [
      'ip.check_checksum:TRUE',
      `vrrp.v3_checksum_as_in_v2:${checksumForm === 'message' ? 'TRUE' : 'FALSE'}`,
    ];
    this.#process = new LabProcess({
      namespace: lab.bridgeNamespace,
      command: [
        'tshark',
        ...`-i ${host.name} -l -n -T fields -E separator=|`.split(' '),
        ...preferences.flatMap((preference) => ['-o', preference]),
        ...FIELDS.flatMap((field) => ['-e', field]),
        '-f',
        'ip proto 112 or ip6 proto 112',
      ],
      onLine: (line) => {
        const values = line.split('|');
        const entries = FIELDS.map((field, index) => [field, values[index] ?? '']);
        this.packets.push(Object.fromEntries(entries) as ReadPacket);
      },
    });
    lab.track(this.#process);
  }

  /** Reads at the host's port of the bridge from now on; packets of other hosts come past there, too. */
  static async start(lab: Lab, host: Host, checksumForm: 'pseudo-header' | 'message'): Promise<Tshark> {
    const reader = new Tshark(lab, host, checksumForm);
    await eventually(() => reader.#process.stderr.includes(`Capturing on '${host.name}'`), {
      what: `tshark to listen at ${HOST_INTERFACE} of ${host.name}`,
      otherwise: () => reader.#process.stderr,
    });
    return reader;
  }

  sentFrom(...sources: readonly string[]): ReadPacket[] {
    return this.packets.filter((packet) => sources.includes(packet['ip.src'] || packet['ipv6.src']));
  }

  async stop(): Promise<void> {
    await this.#process.kill();
  }
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
