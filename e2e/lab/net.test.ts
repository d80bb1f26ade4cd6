// The sockets of the drivers on a real kernel: two hosts, each a network namespace, joined by one link.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { after, before, describe, test, type TestContext } from 'node:test';

import { parseIp } from '../../src/ip/address.ts';
import { monotonicMs } from '../../src/runtime/clock.ts';
import { writeVrrpIpHeader } from '../../src/vrrp/ip-header.ts';
import { formatMac } from '../../src/wire/frames.ts';
import type { Link, NetlinkChange, Route } from '../../src/net/rtnetlink-messages.ts';
import { eventually } from '../kit/eventually.ts';
import { LabProcess } from '../kit/lab-process.ts';
import type { AgentLine, WireAddress, WireConnection, WireDatagram, WireLease } from './net-agent.ts';
import { newLabName, removeNamespace } from '../kit/ownership.ts';
import { enterLab } from '../kit/privileges.ts';

await enterLab();

const AGENT = fileURLToPath(new URL('net-agent.ts', import.meta.url));
const ETHERTYPE_ARP = 0x0806;
const ETHERTYPE_IPV4 = 0x0800;
const ETHERTYPE_IPV6 = 0x86dd;

type AgentError = { name: string; code: string; message: string };
type AgentEvent = { readonly name: string; readonly value: unknown };

/** A process inside a namespace that does what it is told with the drivers. */
class Agent {
  readonly process: LabProcess;
  readonly events: AgentEvent[] = [];
  readonly #answers = new Map<
    number,
    { resolve: (value: unknown) => void; reject: (error: AgentError) => void }
  >();
  #requests = 0;

  constructor(namespace: string, withoutCapabilities: readonly string[] = []) {
    this.process = new LabProcess({
      namespace,
      command: [process.execPath, '--expose-gc', AGENT],
      env: { NODE_TEST_CONTEXT: '' },
      withoutCapabilities,
      ipc: true,
      onLine: (line) => this.#onLine(JSON.parse(line) as AgentLine),
    });
  }

  async ready(): Promise<this> {
    await this.heard('ready');
    return this;
  }

  /** Resolves with what the action returned; rejects with name, code and message of what it threw. */
  async do<Result = null>(does: string, ...given: readonly unknown[]): Promise<Result> {
    this.#requests += 1;
    const id = this.#requests;
    const answer = new Promise<unknown>((resolve, reject) => this.#answers.set(id, { resolve, reject }));
    this.process.send({ id, does, with: given });
    return (await answer) as Result;
  }

  /** The values of all events of a name so far. */
  valuesOf<Value>(name: string): Value[] {
    return this.events.filter((event) => event.name === name).map((event) => event.value as Value);
  }

  /** The first value of an event, past or to come, that fits. */
  async heard<Value>(name: string, fits: (value: Value) => boolean = () => true): Promise<Value> {
    const [value] = await eventually(
      () => {
        const found = this.valuesOf<Value>(name).filter(fits);
        return found.length > 0 && found;
      },
      { what: `event ${name}`, otherwise: () => `${JSON.stringify(this.events)}\n${this.process.stderr}` },
    );
    return value as Value;
  }

  forget(): void {
    this.events.length = 0;
  }

  #onLine(line: AgentLine): void {
    if ('event' in line) {
      this.events.push({ name: line.event, value: line.value });
      return;
    }
    const answer = this.#answers.get(line.id);
    if ('error' in line) answer?.reject(line.error);
    else answer?.resolve(line.result);
  }
}

type IpAddressEntry = {
  local: string;
  prefixlen: number;
  valid_life_time: number;
  preferred_life_time: number;
  tentative?: boolean;
  deprecated?: boolean;
};

const lab = newLabName();
const hostA = `${lab}-a`;
const hostB = `${lab}-b`;
const FOREVER = 0xffffffff;

let a: Agent;
let b: Agent;
let linkA: Link;
let linkB: Link;
let linkLocalA: string;
let linkLocalB: string;

function ip(namespace: string, ...args: string[]): string {
  return execFileSync('ip', ['-n', namespace, ...args], { encoding: 'utf8' });
}

/** What iproute2, which knows nothing of our driver, says about an address. */
function shown(namespace: string, linkName: string, address: string): IpAddressEntry | null {
  const [link] = JSON.parse(ip(namespace, '-j', 'address', 'show', 'dev', linkName)) as [
    { addr_info: IpAddressEntry[] },
  ];
  return link.addr_info.find((entry) => entry.local === address) ?? null;
}

async function linkOf(agent: Agent, name: string): Promise<Link> {
  const links = await agent.do<(Omit<Link, 'mac'> & { mac: Record<string, number> | null })[]>('links');
  const link = links.find((candidate) => candidate.name === name) ?? assert.fail(`no ${name}`);
  return { ...link, mac: link.mac === null ? null : Uint8Array.from(Object.values(link.mac)) };
}

async function linkLocalOf(agent: Agent, link: Link): Promise<string> {
  const address = await eventually(
    async () => {
      const addresses = await agent.do<WireAddress[]>('addresses');
      return addresses.find(
        (own) => own.linkIndex === link.index && own.address.startsWith('fe80:') && !own.tentative,
      );
    },
    { what: `the link-local address of ${link.name}` },
  );
  return address.address;
}

let marks = 0;

/** Waits until A has been told of all changes up to now, and forgets them. */
async function forgetChanges(): Promise<void> {
  marks += 1;
  const mark = `127.1.0.${marks}`;
  ip(hostA, 'address', 'add', `${mark}/32`, 'dev', 'lo');
  await a.heard<{ address?: WireAddress }>('netlink', ({ address }) => address?.address === mark);
  a.forget();
}

before(async () => {
  for (const namespace of [hostA, hostB]) execFileSync('ip', ['netns', 'add', namespace]);
  ip(hostA, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', hostB);
  for (const [namespace, number] of [
    [hostA, 1],
    [hostB, 2],
  ] as const) {
    ip(namespace, 'address', 'add', `10.9.0.${number}/24`, 'dev', 'eth0');
    ip(namespace, 'address', 'add', `fd00::${number}/64`, 'dev', 'eth0', 'nodad');
    ip(namespace, 'link', 'set', 'lo', 'up');
    ip(namespace, 'link', 'set', 'eth0', 'up');
  }
  [a, b] = await Promise.all([new Agent(hostA).ready(), new Agent(hostB).ready()]);
  [linkA, linkB] = await Promise.all([linkOf(a, 'eth0'), linkOf(b, 'eth0')]);
  [linkLocalA, linkLocalB] = await Promise.all([linkLocalOf(a, linkA), linkLocalOf(b, linkB)]);
});

after(async () => {
  await Promise.all([a.process.kill(), b.process.kill()]);
  for (const namespace of [hostA, hostB]) removeNamespace(namespace);
});

describe('address leases', () => {
  const leases = (): WireLease[] =>
    ['10.9.0.100', 'fd00::100'].map((address) => ({ linkIndex: linkA.index, address, validSeconds: 2 }));

  test('a lease is a host address that is usable at once, never a source, and ends with its lifetime', async () => {
    for (const lease of leases()) {
      await a.do('lease', lease);
      const entry = shown(hostA, 'eth0', lease.address);
      assert.ok(entry !== null);
      assert.equal(entry.prefixlen, lease.address.includes(':') ? 128 : 32);
      assert.equal(entry.valid_life_time, 2);
      assert.equal(entry.preferred_life_time, 0);
      assert.equal(entry.deprecated, true);
      assert.equal(entry.tentative, undefined, 'no duplicate address detection');
      const route = ip(hostA, '-j', 'route', 'get', lease.address.includes(':') ? 'fd00::2' : '10.9.0.2');
      assert.notEqual((JSON.parse(route) as [{ prefsrc: string }])[0].prefsrc, lease.address);
    }
    assert.ok(!ip(hostA, '-6', 'route').includes('fd00::100'), 'no route of its own');
    const read = (await a.do<WireAddress[]>('addresses')).filter(({ validSeconds }) => validSeconds !== null);
    assert.deepEqual(
      new Set(read.map(({ address, prefixLength, tentative }) => `${address}/${prefixLength} ${tentative}`)),
      new Set(['10.9.0.100/32 false', 'fd00::100/128 false']),
    );
  });

  test('renewing keeps it; a stopped process loses it', async (t: TestContext) => {
    for (const lease of leases()) await a.do('lease', lease);
    const startMs = monotonicMs();
    a.forget();
    await a.do('renew', leases(), 500);
    await eventually(
      () => {
        for (const { address } of leases()) {
          assert.notEqual(shown(hostA, 'eth0', address), null, `${address} went away while it was renewed`);
        }
        return monotonicMs() - startMs > 3500;
      },
      { what: 'three and a half seconds of renewals' },
    );
    const kinds = new Set(a.valuesOf<NetlinkChange>('netlink').map(({ kind }) => kind));
    assert.deepEqual(kinds, new Set(['addressAdded']), 'a renewal is no removal');
    assert.deepEqual(a.valuesOf('renewalFailed'), []);

    a.process.signal('SIGSTOP');
    const stopMs = monotonicMs();
    const gone = async ({ address }: WireLease): Promise<void> => {
      await eventually(() => shown(hostA, 'eth0', address) === null, { what: `${address} to expire` });
      const afterMs = monotonicMs() - stopMs;
      t.diagnostic(`${address} was gone ${afterMs.toFixed(0)} ms after SIGSTOP`);
      // From the last renewal, at most 500 ms before, 2.0 to 2.5 s; and a busy machine may look late.
      assert.ok(afterMs > 1400 && afterMs < 3500, `${address} was gone after ${afterMs} ms`);
    };
    await Promise.all(leases().map(gone));
    a.process.signal('SIGCONT');
    for (const { address } of leases()) {
      await a.heard<NetlinkChange & { address: WireAddress }>(
        'netlink',
        (change) => change.kind === 'addressRemoved' && change.address.address === address,
      );
    }
    await a.do('stopRenewing');
    for (const { address } of leases()) await a.do('remove', linkA.index, address);
  });

  test('what anybody adds and removes is reported', async () => {
    const changes = () =>
      a
        .valuesOf<NetlinkChange & { address: WireAddress }>('netlink')
        .map(({ kind, address: { address, linkIndex, validSeconds } }) =>
          [kind, linkIndex, address, validSeconds].join(' '),
        );
    // Each addition before its removal: of an IPv6 address that went at once, the kernel reports only the removal.
    const reported = (count: number) =>
      eventually(() => changes().length >= count, {
        what: `${count} changes`,
        otherwise: () => changes().join(),
      });
    for (const lease of leases()) {
      const { address, linkIndex } = lease;
      const host = `${address}/${address.includes(':') ? 128 : 32}`;
      await forgetChanges();
      await a.do('lease', lease);
      await reported(1);
      ip(hostA, 'address', 'del', host, 'dev', 'eth0');
      await a.do('lease', lease);
      await reported(3);
      assert.equal(await a.do('remove', linkIndex, address), true);
      assert.equal(await a.do('remove', linkIndex, address), false);
      ip(hostA, 'address', 'add', host, 'dev', 'eth0', ...(address.includes(':') ? ['nodad'] : []));
      await reported(5);
      assert.equal(await a.do('remove', linkIndex, address), true);
      await reported(6);
      assert.deepEqual(changes(), [
        `addressAdded ${linkIndex} ${address} 2`,
        `addressRemoved ${linkIndex} ${address} 2`,
        `addressAdded ${linkIndex} ${address} 2`,
        `addressRemoved ${linkIndex} ${address} 2`,
        `addressAdded ${linkIndex} ${address} `,
        `addressRemoved ${linkIndex} ${address} `,
      ]);
    }
  });

  test('an address that somebody else configured with another prefix length can be removed', async () => {
    ip(hostA, 'address', 'replace', '10.9.0.101/24', 'dev', 'eth0');
    ip(hostA, 'address', 'replace', 'fd00::101/64', 'dev', 'eth0', 'nodad');
    for (const address of ['10.9.0.101', 'fd00::101']) {
      assert.equal(await a.do('remove', linkA.index, address), true, address);
      assert.equal(shown(hostA, 'eth0', address), null, address);
      assert.equal(await a.do('remove', linkA.index, address), false, address);
    }
    assert.equal(shown(hostA, 'eth0', '10.9.0.1')?.valid_life_time, FOREVER, 'others are left alone');
  });

  test('refusals have a code and one sentence', async () => {
    const refused = { linkIndex: 4711, address: '10.9.0.100', validSeconds: 2 };
    await assert.rejects(a.do('lease', refused), {
      name: 'NetlinkError',
      code: 'ENODEV',
      message: 'cannot add 10.9.0.100 to link 4711: No such device',
    });
    assert.equal(await a.do('remove', 4711, '10.9.0.100'), false);
    assert.equal(await a.do('remove', 4711, 'fd00::100'), false);
  });
});

describe('links', () => {
  test('a link has its name, index, hardware address and state', async () => {
    const [{ address, ifindex }] = JSON.parse(ip(hostA, '-j', 'link', 'show', 'eth0')) as [
      { address: string; ifindex: number },
    ];
    assert.equal(formatMac(linkA.mac ?? assert.fail('no hardware address')), address);
    assert.equal(linkA.index, ifindex);
    assert.equal(linkA.up, true);
    assert.equal((await linkOf(a, 'lo')).mac, null);
  });

  test('down, up, and the loss of carrier are reported, and so is the end of the link', async () => {
    ip(hostA, 'link', 'add', 'eth1', 'type', 'veth', 'peer', 'name', 'eth1', 'netns', hostB);
    ip(hostB, 'link', 'set', 'eth1', 'up');
    const next = async (up: boolean): Promise<void> => {
      await a.heard<NetlinkChange & { link: Link }>(
        'netlink',
        (change) => change.kind === 'link' && change.link.name === 'eth1' && change.link.up === up,
      );
    };
    await forgetChanges();
    ip(hostA, 'link', 'set', 'eth1', 'up');
    await next(true);
    await forgetChanges();
    ip(hostB, 'link', 'set', 'eth1', 'down');
    await next(false);
    assert.equal((await linkOf(a, 'eth1')).up, false, 'without carrier');
    await forgetChanges();
    ip(hostB, 'link', 'set', 'eth1', 'up');
    await next(true);
    await forgetChanges();
    ip(hostA, 'link', 'set', 'eth1', 'down');
    await next(false);

    // A link that leaves a bridge is reported by the kernel as a deletion, in the family of bridges.
    await forgetChanges();
    ip(hostA, 'link', 'add', 'br0', 'type', 'bridge');
    ip(hostA, 'link', 'set', 'eth1', 'master', 'br0');
    ip(hostA, 'link', 'set', 'eth1', 'nomaster');
    ip(hostA, 'link', 'del', 'br0');
    ip(hostA, 'link', 'del', 'eth1');
    const isEth1Removed = (change: NetlinkChange): boolean =>
      change.kind === 'linkRemoved' && change.name === 'eth1';
    await a.heard('netlink', isEth1Removed);
    const removals = a.valuesOf<NetlinkChange>('netlink').filter(({ kind }) => kind === 'linkRemoved');
    assert.deepEqual(
      removals.map((change) => change.kind === 'linkRemoved' && change.name),
      ['br0', 'eth1'],
    );
  });

  test('routes are the default ones with their metric, and those whose hosts are on the link', async () => {
    ip(hostA, 'link', 'add', 'eth2', 'type', 'veth', 'peer', 'name', 'eth3');
    for (const name of ['eth2', 'eth3']) ip(hostA, 'link', 'set', name, 'up');
    ip(hostA, 'route', 'add', 'default', 'dev', 'eth2', 'metric', '200');
    ip(hostA, 'route', 'add', 'default', 'via', '10.9.0.2', 'metric', '100');
    ip(hostA, 'route', 'add', '10.77.0.0/16', 'dev', 'eth2');
    ip(hostA, 'route', 'add', '10.78.0.0/16', 'via', '10.9.0.2');
    ip(hostA, '-6', 'route', 'add', 'default', 'via', 'fd00::2', 'metric', '100');
    ip(hostA, '-6', 'route', 'add', 'fd77::/64', 'dev', 'eth2', 'proto', 'ra');
    ip(hostA, '-6', 'route', 'add', 'fd78::/64', 'via', 'fd00::2');
    const { index } = await linkOf(a, 'eth2');
    const routes = await a.do<Route[]>('routes');
    const texts = routes.map(
      ({ linkIndex, address, prefixLength, metric }) =>
        `${address.text}/${prefixLength} ${linkIndex === index ? 'eth2' : 'eth0'} ${metric}`,
    );
    for (const text of ['0.0.0.0/0 eth2 200', '0.0.0.0/0 eth0 100', '10.77.0.0/16 eth2 0', '::/0 eth0 100'])
      assert.ok(texts.includes(text), `${text} in ${texts.join(', ')}`);
    assert.ok(texts.includes('fd77::/64 eth2 1024'), texts.join(', '));
    assert.ok(!texts.some((text) => /^(?:10\.78|fd78)/.test(text)), texts.join(', '));
    ip(hostA, 'link', 'del', 'eth2');
  });

  test('among thousands of addresses: lost notifications are reported, and leases do not wait for dumps', async () => {
    const count = 3000;
    ip(hostA, 'link', 'add', 'br1', 'type', 'bridge');
    a.forget();
    a.process.signal('SIGSTOP');
    const lines = Array.from(
      { length: count },
      (_, n) => `address add 10.${100 + (n >> 8)}.${n & 255}.1/32 dev br1`,
    );
    execFileSync('ip', ['-n', hostA, '-batch', '-'], { input: lines.join('\n') });
    a.process.signal('SIGCONT');
    const { code, message } = await a.heard<AgentError>('netlinkError');
    assert.equal(code, 'ENOBUFS');
    assert.match(message, /^notifications of link and address changes were lost: /);

    // A dump of so many takes several reads, between which other answers may come.
    const lease = { linkIndex: linkA.index, address: '10.9.0.100', validSeconds: 2 };
    const answers = await a.do<{ leases: number; dumps: number[] }>('storm', lease, 20, 3);
    assert.equal(answers.leases, 20);
    assert.ok(answers.dumps.length === 3 && answers.dumps.every((length) => length >= count));
    await a.do('remove', linkA.index, '10.9.0.100');

    ip(hostA, 'link', 'del', 'br1');
    assert.ok((await a.do<WireAddress[]>('addresses')).length < 100, 'what is read is what is there now');
    await a.heard<NetlinkChange>('netlink', (change) => change.kind === 'linkRemoved');
    await forgetChanges();
  });
});

describe('VRRP sockets', () => {
  const PAYLOAD = '31339601006400000a090064';
  const families = () =>
    [
      { family: 'IPv4', group: '224.0.0.18', sourceA: '10.9.0.1', sourceB: '10.9.0.2' },
      { family: 'IPv6', group: 'ff02::12', sourceA: linkLocalA, sourceB: linkLocalB },
    ] as const;

  before(async () => {
    await Promise.all([b.do('capture', 'eth0', ETHERTYPE_IPV4), b.do('capture', 'eth0', ETHERTYPE_IPV6)]);
    for (const { family, sourceA, sourceB } of families()) {
      await a.do('openVrrp', 'eth0', { name: family, source: sourceA, multicast: true });
      await b.do('openVrrp', 'eth0', { name: family, source: sourceB, multicast: true });
    }
  });

  for (const [index, family] of ['IPv4', 'IPv6'].entries()) {
    test(`RFC 9568 5.1: ${family} multicast goes both ways, with our source and hop limit, and not back to us`, async () => {
      const { group, sourceA, sourceB } = families()[index] ?? assert.fail();
      for (const agent of [a, b]) agent.forget();
      await a.do('send', family, `${PAYLOAD}0a`, group);
      const destination = group;
      assert.deepEqual(await b.heard(family), {
        payload: `${PAYLOAD}0a`,
        source: sourceA,
        destination,
        ttl: 255,
      });
      await b.do('send', family, `${PAYLOAD}0b`, group);
      assert.deepEqual(await a.heard(family), {
        payload: `${PAYLOAD}0b`,
        source: sourceB,
        destination,
        ttl: 255,
      });
      assert.equal(a.valuesOf(family).length, 1, 'own packets are not delivered');
      const frame = Buffer.from(
        await b.heard<string>('frame', (text) => text.includes(`${PAYLOAD}0a`)),
        'hex',
      );
      if (family === 'IPv4') {
        assert.equal(frame.subarray(0, 6).toString('hex'), '01005e000012');
        assert.deepEqual([frame[14], frame[15], frame[22], frame[23]], [0x45, 0xc0, 255, 112]);
      } else {
        assert.equal(frame.subarray(0, 6).toString('hex'), '333300000012');
        assert.deepEqual([frame[14], frame[15], frame[20], frame[21]], [0x6c, 0, 112, 255]);
      }
    });

    test(`${family}: what was queued while the loop stood still can be discarded, or taken in order`, async () => {
      const { group, sourceA } = families()[index] ?? assert.fail();
      b.forget();
      const drain = b.do<{ count: number; drained: WireDatagram[] }[]>(
        'blockAndDrain',
        family,
        700,
        [2, 2, 100],
      );
      await b.heard('blocked');
      for (let n = 1; n <= 7; n += 1) await a.do('send', family, `${PAYLOAD}0${n}`, group);
      const payloads = (await drain).map(({ count, drained }) => [
        count,
        drained.map(({ payload }) => payload),
      ]);
      const queued = [3, 4, 5, 6, 7].map((n) => `${PAYLOAD}0${n}`);
      assert.deepEqual(payloads, [
        [2, []],
        [2, queued.slice(0, 2)],
        [3, queued],
      ]);
      await a.do('send', family, `${PAYLOAD}08`, group);
      await b.heard(family);
      assert.deepEqual(
        b.valuesOf<WireDatagram>(family).map(({ payload, source }) => [payload, source]),
        [[`${PAYLOAD}08`, sourceA]],
        'what was drained is not delivered again',
      );
    });

    test(`RFC 9568 7.1: of forged ${family} packets, the hop limit tells`, async () => {
      const { group, sourceB } = families()[index] ?? assert.fail();
      a.forget();
      for (const [n, hopLimit] of [254, 255].entries()) {
        await b.do('sendFrame', 'eth0', forgedFrame(sourceB, group, hopLimit, `${PAYLOAD}e${n}`));
      }
      // IPv4 has its TTL in the header that arrives; of an IPv6 packet the filter in the kernel leaves one octet.
      const offLink = family === 'IPv4' ? [`${PAYLOAD}e0`, 254] : [PAYLOAD.slice(0, 2), 0];
      await eventually(() => a.valuesOf(family).length === 2, { what: 'both packets to arrive' });
      const heard = a.valuesOf<WireDatagram>(family).map(({ payload, ttl }) => [payload, ttl]);
      const byTtl = heard.toSorted(([, one], [, other]) => Number(one) - Number(other));
      assert.deepEqual(byTtl, [offLink, [`${PAYLOAD}e1`, 255]]);
    });

    test(`${family} unicast reaches the peer with our source and hop limit; the group does not`, async () => {
      const { group, sourceA, sourceB } = families()[index] ?? assert.fail();
      const name = `${family} unicast`;
      await b.do('openVrrp', 'eth0', { name, source: sourceB, multicast: false });
      b.forget();
      await a.do('send', family, `${PAYLOAD}c0`, group);
      await b.heard(family);
      await a.do('send', family, `${PAYLOAD}c1`, sourceB);
      const destination = sourceB;
      const expected = { payload: `${PAYLOAD}c1`, source: sourceA, destination, ttl: 255 };
      assert.deepEqual(await b.heard(name), expected);
      assert.equal(b.valuesOf(name).length, 1);
      await b.do('closeVrrp', name);
    });

    test(`${family}: what comes faster than it is read is counted, also when the socket is closed meanwhile`, async () => {
      const { group, sourceB } = families()[index] ?? assert.fail();
      const name = `flooded ${family}`;
      const unread = async () => b.do<{ expected: number; unexpected: number }>('unread', name);
      await b.do('openVrrp', 'eth0', { name, source: sourceB, multicast: true });
      assert.deepEqual(await unread(), { expected: 0, unexpected: 0 });
      const anotherVrid = '3134640101';
      b.forget();
      const blocked = b.do('block', 500);
      await b.heard('blocked');
      await a.do('sendMany', family, 2000, anotherVrid, group);
      await blocked;
      const lost = await unread();
      assert.ok(lost.unexpected > 0 && lost.expected === 0, JSON.stringify(lost));
      await b.do('closeVrrp', name);
      assert.ok((await unread()).unexpected >= lost.unexpected);
    });

    test(`${family}: a socket that is only listened to survives garbage collection; its handler is called properly`, async () => {
      const { group, sourceB } = families()[index] ?? assert.fail();
      const [name, throwsAt] = [`lone ${family}`, `${PAYLOAD}bad0`];
      await b.do('openVrrp', 'eth0', { name, source: sourceB, multicast: true, throwsAt });
      await b.do('forgetVrrp', name);
      b.forget();
      await a.do('send', family, throwsAt, group);
      await b.heard('uncaughtException', (message) => message === 'thrown by the handler');
      await a.do('send', family, `${PAYLOAD}a2`, group);
      await b.heard('immediate after datagram');
      const names = b.events.map((event) => event.name);
      assert.ok(
        names.indexOf('promise after datagram') < names.indexOf('immediate after datagram'),
        `promises of the handler are run when it returns: ${names.join()}`,
      );
    });
  }

  test('what cannot be sent or opened is told with a code and one sentence', async () => {
    for (const { family, group, sourceA } of families()) {
      const sendTo = (destination: string) => a.do('send', family, PAYLOAD, destination);
      await assert.rejects(a.do('sendLong', family, 4000, group), { name: 'NetError', code: 'EMSGSIZE' });
      await assert.rejects(a.do('sendLong', family, 9000, group), { name: 'NetError', code: 'EMSGSIZE' });
      await a.do('closeVrrp', family);
      await a.do('closeVrrp', family);
      await assert.rejects(sendTo(group), { name: 'NetError', code: 'EBADF' });
      await assert.rejects(a.do('openVrrpOn', 4711, { name: 'none', source: sourceA, multicast: true }), {
        name: 'NetError',
        code: 'ENODEV',
        message: 'cannot open a VRRP socket on nolink4711: No such device',
      });
    }
  });

  test('without CAP_NET_RAW and CAP_NET_ADMIN each refusal says which is missing', async () => {
    const poor = await new Agent(hostA, ['net_raw', 'net_admin']).ready();
    try {
      const opening = { name: 'poor', source: '10.9.0.1', multicast: true };
      await assert.rejects(poor.do('openVrrp', 'eth0', opening), {
        name: 'NetError',
        code: 'EPERM',
        message: 'opening a raw socket needs CAP_NET_RAW: run as root, or add NET_RAW to the capabilities',
      });
      await assert.rejects(poor.do('openPacket', { index: linkA.index }), {
        name: 'NetError',
        code: 'EPERM',
        message: 'opening a packet socket needs CAP_NET_RAW: run as root, or add NET_RAW to the capabilities',
      });
      const lease = { linkIndex: linkA.index, address: '10.9.0.100', validSeconds: 2 };
      await assert.rejects(poor.do('lease', lease), {
        name: 'NetlinkError',
        code: 'EPERM',
        message: `cannot add 10.9.0.100 to link ${linkA.index}: this needs CAP_NET_ADMIN`,
      });
      assert.equal((await linkOf(poor, 'eth0')).up, true, 'reading needs no privilege');
    } finally {
      await poor.process.kill();
    }
  });
});

describe('announcements and probes', () => {
  const neighbors = (): string => ip(hostB, 'neighbor', 'show', 'dev', 'eth0');

  for (const address of ['10.9.0.200', 'fd00::200']) {
    test(`the neighbor believes that ${address} has moved to us`, async () => {
      const mac = formatMac(linkA.mac ?? assert.fail());
      ip(hostB, 'neighbor', 'add', address, 'lladdr', '02:00:00:00:00:99', 'dev', 'eth0', 'nud', 'stale');
      b.forget();
      if (address.includes('.')) await b.do('capture', 'eth0', ETHERTYPE_ARP);
      await a.do('announce', 'eth0', address);
      await eventually(() => neighbors().includes(`${address} lladdr ${mac}`), {
        what: `${address} to be at ${mac}`,
        otherwise: neighbors,
      });
      const hexMac = mac.replaceAll(':', '');
      const expected = address.includes('.')
        ? `ffffffffffff${hexMac}08060001080006040001${hexMac}0a0900c8ffffffffffff0a0900c8`
        : `333300000001${hexMac}86dd6000000000203afffd000000000000000000000000000200`;
      await b.heard<string>('frame', (frame) => frame.startsWith(expected));
    });
  }

  test('a probe finds who has an address, whether it asks as somebody or as nobody', async () => {
    const mac = formatMac(linkB.mac ?? assert.fail());
    const asked = [
      [null, '10.9.0.2'],
      ['10.9.0.1', '10.9.0.2'],
      [null, 'fd00::2'],
      [linkLocalA, 'fd00::2'],
      [null, linkLocalB],
    ];
    for (const [source, address] of asked) {
      assert.equal(await a.do('probe', 'eth0', source, address, 5000), mac, `${source} asks for ${address}`);
    }
  });

  test('a probe finds nobody where there is nobody', async () => {
    const free = ['10.9.0.250', 'fd00::250', '10.9.0.1', 'fd00::1'];
    const answers = await Promise.all(free.map((address) => a.do('probe', 'eth0', null, address, 400)));
    assert.deepEqual(answers, [null, null, null, null]);
  });

  test('what comes back from a link with our own hardware address is nobody', async () => {
    const claim = (link: Link) => {
      const mac = Buffer.from(link.mac ?? assert.fail()).toString('hex');
      return `ffffffffffff${mac}08060001080006040002${mac}0a0900fbffffffffffff0a0900fb`;
    };
    const probe = a.do<string | null>('probe', 'eth0', null, '10.9.0.251', 15_000);
    let answered = false;
    void probe.finally(() => (answered = true));
    for (let n = 0; n < 5; n += 1) await b.do('sendFrame', 'eth0', claim(linkA));
    assert.equal(answered, false);
    await b.do('sendFrame', 'eth0', claim(linkB));
    assert.equal(await probe, formatMac(linkB.mac ?? assert.fail()));
  });

  test('on a link that is down, nothing is sent and that is told', async () => {
    for (const [index, source] of ['10.9.0.1', 'fe80::1'].entries()) {
      await a.do('openVrrp', 'eth0', { name: `down ${index}`, source, multicast: true });
    }
    ip(hostA, 'link', 'set', 'eth0', 'down');
    await assert.rejects(a.do('announce', 'eth0', '10.9.0.200'), { name: 'NetError', code: 'ENETDOWN' });
    await assert.rejects(a.do('probe', 'eth0', null, '10.9.0.2', 1000), {
      name: 'NetError',
      code: 'ENETDOWN',
    });
    for (const [index, group] of ['224.0.0.18', 'ff02::12'].entries()) {
      await assert.rejects(a.do('send', `down ${index}`, '3133', group), {
        name: 'NetError',
        code: 'ENETUNREACH',
      });
    }
    assert.deepEqual(a.valuesOf('vrrpError'), []);
    // The same sockets work again when the link does: their memberships are kept.
    ip(hostA, 'link', 'set', 'eth0', 'up');
    await b.do('openVrrp', 'eth0', { name: 'again', source: '10.9.0.2', multicast: true });
    await eventually(
      async () => {
        await b.do('send', 'again', '31330000', '224.0.0.18');
        return a.valuesOf('down 0').length > 0;
      },
      { what: 'VRRP to arrive again' },
    );
  });
});

for (const address of ['127.0.0.1', '::1']) {
  describe(`the ending of connections by their addresses, ${address}`, () => {
    const open = (): Promise<WireConnection> => a.do('openConnection', address);
    const endOf = (port: number): { code: string } | undefined =>
      a
        .valuesOf<{ clientPort: number; code: string }>('connectionEnded')
        .find(({ clientPort }) => clientPort === port);

    test("ends the client's socket, and that one alone; none is left to end afterwards", async () => {
      const [meant, other] = [await open(), await open()];
      assert.equal(await a.do('abortConnection', address, meant.clientPort, meant.port), null);
      const end = await eventually(() => endOf(meant.clientPort), { what: 'the client to notice' });
      assert.equal(end.code, 'ECONNABORTED');
      assert.equal(await a.do('abortConnection', address, meant.clientPort, meant.port), null);
      assert.equal(endOf(other.clientPort), undefined);
    });

    test('a listener on the port of a connection that is gone is not what is meant', async () => {
      const { port, clientPort } = await open();
      assert.equal(await a.do('abortConnection', address, port, 1), null);
      await a.do('visit', address, port);
      assert.equal(endOf(clientPort), undefined);
    });

    test('says why it cannot: CAP_NET_ADMIN is missing', async () => {
      const poor = await new Agent(hostA, ['net_admin']).ready();
      try {
        const { port, clientPort } = await open();
        assert.equal(await poor.do('abortConnection', address, clientPort, port), 'EPERM');
        assert.equal(endOf(clientPort), undefined);
      } finally {
        await poor.process.kill();
      }
    });
  });
}

/** An Ethernet frame with a VRRP packet of any hop limit, as only a forger sends it. */
function forgedFrame(source: string, group: string, hopLimit: number, payload: string): string {
  const [from, to] = [parseIp(source) ?? assert.fail(source), parseIp(group) ?? assert.fail(group)];
  const message = Buffer.from(payload, 'hex');
  const isIpv4 = from.family === 'IPv4';
  const header = Buffer.alloc(isIpv4 ? 20 : 40);
  writeVrrpIpHeader(header, from, to, message.length);
  header[isIpv4 ? 8 : 7] = hopLimit;
  if (isIpv4) {
    let sum = 0;
    for (let offset = 0; offset < 20; offset += 2) sum += header.readUInt16BE(offset);
    header.writeUInt16BE(~((sum & 0xffff) + (sum >> 16)) & 0xffff, 10);
  }
  const groupMac = isIpv4 ? '01005e000012' : '333300000012';
  return `${groupMac}020000000001${isIpv4 ? '0800' : '86dd'}${header.toString('hex')}${payload}`;
}
