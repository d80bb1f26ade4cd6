/** On the loopback interface, where a socket is its own neighbor. e2e/lab/takeover.test.ts has peers on other hosts. */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { type IpAddress, parseIp } from '../../ip/address.ts';
import { libc } from '../../net/libc.ts';
import {
  AF_INET,
  AF_INET6,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPV6_V6ONLY,
  SO_BINDTODEVICE,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SOCK_DGRAM,
  SOL_SOCKET,
} from '../../net/linux.ts';
import { encodeSocketAddress } from '../../net/socket-address.ts';
import { newSocket, setOption } from '../../net/socket.ts';
import { watchDescriptors } from '../../testing/sockets.ts';
import { until } from '../../testing/until.ts';
import { readLinkIndex } from './link-facts.ts';
import { type OnLinkUdp, openOnLinkUdp, type Reception } from './on-link-udp.ts';

const ip = (text: string): IpAddress => parseIp(text) ?? assert.fail(text);
const LOOPBACK = readLinkIndex('lo') ?? assert.fail('no loopback interface');
const EADDRINUSE = 98;
/** Of options that contradict the address. */
const EINVAL = 22;
const IP_FREEBIND = 15;
const FLOOD = 2000;

watchDescriptors();

async function freePort(): Promise<number> {
  const socket = createSocket('udp6').bind(0);
  await once(socket, 'listening');
  const { port } = socket.address();
  socket.close();
  await once(socket, 'close');
  return port;
}

type Opened = { readonly udp: OnLinkUdp; readonly port: number; readonly heard: string[] };

async function openOn(
  context: TestContext,
  address: IpAddress,
  replaced: Partial<Reception> = {},
): Promise<Opened> {
  const port = await freePort();
  const heard: string[] = [];
  const udp = openOnLinkUdp({
    address,
    port,
    reception: { neighbors: [address], linkIndex: LOOPBACK, ...replaced },
    onDatagram: (octets, source) => heard.push(`${Buffer.from(octets).toString()} of ${source?.text}`),
    onError: (error) => assert.fail(error),
  });
  context.after(() => udp.close());
  return { udp, port, heard };
}

/** What bind(2) says to a program that wants the port as well: 0, or minus an errno. */
function bindAlso(
  address: IpAddress,
  port: number,
  options: readonly (readonly [number, number])[],
  device: string,
): number {
  const isIpv4 = address.family === 'IPv4';
  const fd = newSocket({ domain: isIpv4 ? AF_INET : AF_INET6, type: SOCK_DGRAM });
  for (const [level, name] of options) setOption(fd, level, name, 1);
  if (device !== '') libc.setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, Buffer.from(device), device.length);
  const encoded = encodeSocketAddress(address, port);
  const result = libc.bind(fd, encoded, encoded.length);
  libc.close(fd);
  return result;
}

for (const address of [ip('127.0.0.2'), ip('::1')]) {
  const { family } = address;

  test(`${family}: a neighbor is heard; what comes by another interface or from no neighbor is dropped and counted`, async (t) => {
    const { udp, heard } = await openOn(t, address);
    udp.send(Buffer.from('first'), address);
    await until(() => heard.length === 1, 'the first datagram');
    assert.deepEqual(heard, [`first of ${address.text}`]);
    let dropped = 0;
    for (const reception of [
      { neighbors: [address], linkIndex: LOOPBACK + 1 },
      { neighbors: [], linkIndex: LOOPBACK },
      { neighbors: [address], linkIndex: null },
    ]) {
      udp.receive(reception);
      udp.send(Buffer.from('unwanted'), address);
      dropped += 1;
      await until(() => udp.dropped() === dropped, JSON.stringify(reception));
    }
    udp.receive({ neighbors: [address], linkIndex: LOOPBACK });
    udp.send(Buffer.from('last'), address);
    await until(() => heard.length > 1, 'the last datagram');
    assert.deepEqual(heard.slice(1), [`last of ${address.text}`]);
    udp.close();
    assert.equal(udp.dropped(), dropped, 'known after the end as well');
  });

  test(`${family}: a flood from another port of a neighbor's address does not reach this process`, async (t) => {
    const { udp, port, heard } = await openOn(t, address);
    const stranger = createSocket(family === 'IPv4' ? 'udp4' : 'udp6');
    t.after(() => stranger.close());
    stranger.bind(0, address.text);
    await once(stranger, 'listening');
    stranger.setTTL(255);
    for (let count = 0; count < FLOOD; count += 1) stranger.send('forged', port, address.text);
    await until(() => udp.dropped() === FLOOD, `the kernel to drop ${FLOOD}`);
    assert.deepEqual(heard, []);
  });

  test(`${family}: no other program gets the port, on whatever address and with whatever option`, async (t) => {
    const { port } = await openOn(t, address);
    const reuse = [[SOL_SOCKET, SO_REUSEADDR] as const, [SOL_SOCKET, SO_REUSEPORT] as const];
    const freeBind = [IPPROTO_IP, IP_FREEBIND] as const;
    for (const also of [
      '127.0.0.1',
      '127.0.0.2',
      '0.0.0.0',
      '192.0.2.7',
      '::1',
      '::',
      '::ffff:127.0.0.1',
    ].map(ip)) {
      const only6 = also.family === 'IPv6' ? [[IPPROTO_IPV6, IPV6_V6ONLY] as const] : [];
      for (const options of [[], reuse, reuse.slice(0, 1), reuse.slice(1), only6, [...reuse, ...only6]]) {
        for (const device of ['', 'lo']) {
          const result = bindAlso(also, port, [freeBind, ...options], device);
          const isRefused = result === -EADDRINUSE || result === -EINVAL;
          assert.ok(isRefused, `${also.text} with ${JSON.stringify(options)} on '${device}': ${result}`);
        }
      }
    }
  });
}

test('a port that another program has on any address is refused, and nothing stays open', async () => {
  const port = await freePort();
  const other = createSocket('udp4').bind(port, '127.0.0.1');
  await once(other, 'listening');
  const reception = { neighbors: [], linkIndex: LOOPBACK };
  const ignore = (): void => undefined;
  assert.throws(
    () => openOnLinkUdp({ address: ip('127.0.0.2'), port, reception, onDatagram: ignore, onError: ignore }),
    { code: 'EADDRINUSE', message: /^cannot have UDP port \d+ of all addresses for this program alone: / },
  );
  other.close();
  await once(other, 'close');
});
