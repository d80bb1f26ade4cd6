import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { Config } from '../../config/config.ts';
import { type IpAddress, parseIp } from '../../ip/address.ts';
import type { Interest } from '../../net/notification-filter.ts';
import type { InterfaceAddress, Link, NetlinkChange } from '../../net/rtnetlink-messages.ts';
import { NetlinkError, type NetlinkListener } from '../../net/rtnetlink.ts';
import { until } from '../../testing/until.ts';
import type { NetworkView, Place } from './view.ts';
import { NetworkWatch, type WatchedNetlink } from './watch.ts';

const ip = (text: string): IpAddress => parseIp(text) ?? assert.fail(`not an address: ${text}`);
const VIP = ip('10.0.0.100');
const SELF = ip('10.0.0.1');
const ETH0: Link = { index: 2, name: 'eth0', altNames: [], mac: null, up: true };
const LOST = new NetlinkError('ENOBUFS', 'notifications of link and address changes were lost');
const CONFIG = {
  vips: [VIP],
  interface: null,
  peers: [SELF, ip('10.0.0.2')],
  vrrp: { transport: 'multicast', senders: [] },
} as unknown as Config;

const onEth0 = (address: IpAddress, prefixLength: number): InterfaceAddress => ({
  linkIndex: ETH0.index,
  address,
  prefixLength,
  validSeconds: null,
  tentative: false,
});
const OWN = onEth0(SELF, 24);

/** A kernel that has what the test gives it, and notifies of it when the test says so. */
class FakeKernel {
  links: Link[] = [ETH0];
  addresses: InterfaceAddress[] = [OWN];
  readings = 0;
  /** Set: a reading waits until it is called. */
  gate: Promise<void> | null = null;
  readonly interests: (Interest | null)[] = [];
  listener: NetlinkListener | null = null;

  open(listener: NetlinkListener): WatchedNetlink {
    this.listener = listener;
    return new FakeNetlink(this, listener.onChange);
  }

  /** Changes that are reported in one turn of the event loop. */
  notify(...changes: NetlinkChange[]): void {
    for (const change of changes) this.listener?.onChange(change);
    this.listener?.onTurn?.();
  }

  add(address: InterfaceAddress): void {
    this.addresses.push(address);
    this.notify({ kind: 'addressAdded', address });
  }

  take(address: InterfaceAddress): void {
    this.addresses = this.addresses.filter((other) => other !== address);
    this.notify({ kind: 'addressRemoved', address });
  }
}

class FakeNetlink implements WatchedNetlink {
  readonly #kernel: FakeKernel;
  readonly #onChange: (change: NetlinkChange) => void;

  constructor(kernel: FakeKernel, onChange: (change: NetlinkChange) => void) {
    this.#kernel = kernel;
    this.#onChange = onChange;
  }

  async links(): Promise<Link[]> {
    return [...this.#kernel.links];
  }

  async addresses(): Promise<InterfaceAddress[]> {
    this.#kernel.readings += 1;
    const read = [...this.#kernel.addresses];
    await this.#kernel.gate;
    return read;
  }

  async routes(): Promise<[]> {
    return [];
  }

  leaseAddress({ address, linkIndex }: { readonly address: IpAddress; readonly linkIndex: number }): void {
    this.#kernel.addresses.push({ ...onEth0(address, 32), linkIndex });
  }

  async removeAddress(linkIndex: number, address: IpAddress): Promise<boolean> {
    const found = this.#kernel.addresses.find(
      (own) => own.linkIndex === linkIndex && own.address.text === address.text,
    );
    return found !== undefined && this.removeExactly(found);
  }

  removeExactly(address: InterfaceAddress): boolean {
    const at = this.#kernel.addresses.indexOf(address);
    if (at === -1) return false;
    this.#kernel.addresses.splice(at, 1);
    this.#onChange({ kind: 'addressRemoved', address });
    return true;
  }

  follow(interest: Interest | null): void {
    this.#kernel.interests.push(interest);
  }

  readNotifications(): void {}
  close(): void {}
}

/** Where the latest view has put this node. */
function placeIn(views: readonly NetworkView[]): Place {
  return views.at(-1)?.place ?? assert.fail('no place was found');
}

async function openWatch(context: TestContext, kernel = new FakeKernel()) {
  const said: string[] = [];
  const views: NetworkView[] = [];
  const gone: string[] = [];
  const watch = await NetworkWatch.open({
    openNetlink: (listener) => kernel.open(listener),
    config: CONFIG,
    log: (_level, message) => said.push(message),
    onView: (view) => views.push(view),
    onAddressGone: (linkIndex, address) => gone.push(`${linkIndex} ${address.text}`),
  });
  context.after(() => watch.close());
  return { watch, kernel, said, views, gone };
}

test('notifications that are lost again and again are one line, and read again each time', async (context) => {
  const { kernel, said } = await openWatch(context);
  for (let round = 1; round <= 2; round += 1) {
    for (let count = 0; count < 100; count += 1) kernel.listener?.onError(LOST);
    await until(() => kernel.readings === 1 + round, 'everything to be read again');
  }
  assert.deepEqual(said, [`rtnetlink: ${LOST.message}; reading links and addresses again`]);
});

test('notifications that are lost while everything is being read are made up for by one more reading', async (context) => {
  const { kernel, watch, views } = await openWatch(context);
  watch.begin(placeIn(views));
  let open = (): void => undefined;
  kernel.gate = new Promise((resolve) => {
    open = resolve;
  });
  kernel.listener?.onError(LOST);
  await until(() => kernel.readings === 2, 'a reading to be under way');
  // The link goes down, which nothing reports, after this reading has seen it up.
  kernel.links = [{ ...ETH0, up: false }];
  kernel.listener?.onError(LOST);
  await new Promise((resolve) => setTimeout(resolve, 1100));
  kernel.gate = null;
  open();
  await until(() => views.at(-1)?.links.IPv4?.usable === false, 'the link to be seen down');
});

test('a VIP that appears without an election is removed each time, and logged once a minute', async (context) => {
  const { kernel, said } = await openWatch(context);
  for (const prefixLength of [24, 32, 24, 32]) {
    const stale = onEth0(VIP, prefixLength);
    kernel.add(stale);
    await until(() => !kernel.addresses.includes(stale), `the VIP with /${prefixLength} to be removed`);
  }
  assert.deepEqual(kernel.addresses, [OWN]);
  assert.deepEqual(
    said.map((line) => line.split(':')[0]),
    ['removed a stale VIP, 10.0.0.100/24 on eth0', 'removed a stale VIP, 10.0.0.100/32 on eth0'],
  );
});

test('a VIP whose notification was lost is found when everything is read again', async (context) => {
  const { kernel, said } = await openWatch(context);
  kernel.addresses.push(onEth0(VIP, 24));
  kernel.listener?.onError(LOST);
  await until(() => kernel.addresses.length === 1, 'the VIP to be removed');
  assert.match(said[1] ?? '', /^removed a stale VIP/);
});

test('an own removal is not reported; one by another program right after it is', async (context) => {
  const { kernel, watch, gone } = await openWatch(context);
  const lease = { linkIndex: ETH0.index, address: VIP, validSeconds: 1 };
  watch.lease(lease);
  await watch.remove(ETH0.index, VIP);
  assert.deepEqual(gone, []);
  // The removal found nothing, so nothing was notified: the next notification is another program's.
  await watch.remove(ETH0.index, VIP);
  watch.lease(lease);
  kernel.take(kernel.addresses.at(-1)!);
  assert.deepEqual(gone, ['2 10.0.0.100']);
});

test('while the election runs, the kernel is asked for this interface and the VIP alone, and for all when it is gone', async (context) => {
  const { kernel, watch, views } = await openWatch(context);
  assert.deepEqual(kernel.interests, []);
  watch.begin(placeIn(views));
  assert.deepEqual(kernel.interests, [{ linkIndex: 2, addresses: [VIP] }]);
  const before = kernel.readings;
  kernel.links = [];
  kernel.notify({ kind: 'linkRemoved', index: 2, name: 'eth0' });
  assert.equal(kernel.interests.at(-1), null);
  assert.equal(views.at(-1)?.links.IPv4?.usable, false);
  await until(() => kernel.readings > before, 'what was not reported meanwhile to be read');
});

test('the own address that is removed and added again at once changes nothing', async (context) => {
  const { kernel, watch, views } = await openWatch(context);
  watch.begin(placeIn(views));
  const before = views.length;
  kernel.take(OWN);
  kernel.add(OWN);
  assert.equal(views.length, before);
});

test('the own address that stays away is reported after a grace, without another notification', async (context) => {
  const { kernel, watch, views } = await openWatch(context);
  watch.begin(placeIn(views));
  kernel.take(OWN);
  await until(() => views.at(-1)?.links.IPv4?.usable === false, 'the missing address to be reported');
  const verdict = views.at(-1)?.links.IPv4;
  assert.ok(verdict?.usable === false && verdict.lacks === 'source');
});

test('an interface that went away between the finding of the place and the begin is reported as unusable', async (context) => {
  const { kernel, watch, views } = await openWatch(context);
  const place = placeIn(views);
  kernel.take(OWN);
  await until(() => views.at(-1)?.place === null, 'the place to be lost');
  watch.begin(place);
  assert.equal(views.at(-1)?.place?.interfaceName, 'eth0');
  assert.equal(views.at(-1)?.links.IPv4?.usable, false);
  kernel.add(OWN);
  assert.equal(views.at(-1)?.links.IPv4?.usable, true);
});

test('a link that goes down while everything is being read is reported at once', async (context) => {
  const { kernel, watch, views } = await openWatch(context);
  watch.begin(placeIn(views));
  let open = (): void => undefined;
  kernel.gate = new Promise((resolve) => {
    open = resolve;
  });
  kernel.listener?.onError(LOST);
  await until(() => kernel.readings === 2, 'a reading to be under way');
  kernel.notify({ kind: 'link', link: { ...ETH0, up: false } });
  assert.equal(views.at(-1)?.links.IPv4?.usable, false);
  kernel.links = [{ ...ETH0, up: false }];
  kernel.gate = null;
  open();
});

test('an address that is leased while everything is being read is not taken for lost', async (context) => {
  const { kernel, watch, gone } = await openWatch(context);
  let open = (): void => undefined;
  kernel.gate = new Promise((resolve) => {
    open = resolve;
  });
  kernel.listener?.onError(LOST);
  await until(() => kernel.readings === 2, 'a reading to be under way');
  watch.lease({ linkIndex: ETH0.index, address: VIP, validSeconds: 1 });
  kernel.gate = null;
  open();
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.deepEqual(gone, []);
});
