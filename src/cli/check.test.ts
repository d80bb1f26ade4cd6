/** `kube-vrrp check` on hosts of its own: a network namespace each. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';

import { parseIp } from '../ip/address.ts';
import type { Outcome } from '../testing/command.ts';
import { kubeVrrpOn, type OwnNetwork } from '../testing/own-network.ts';
import { encodeAdvertisement } from '../vrrp/advertisement.ts';

const SUBNET: OwnNetwork = { setUp: ['ip address add 10.77.0.1/24 dev eth0'] };
const FLAGS = ['--vip', '10.77.0.100', '--health-ca-file', '/none/ca.crt'];

function check(on: OwnNetwork, peers: string, ...more: readonly string[]): Promise<Outcome> {
  return kubeVrrpOn(on, ['check', ...FLAGS, '--peers', peers, ...more]);
}

/** `level name`, a line each. */
function levels({ stdout }: Outcome): string[] {
  const { checks } = JSON.parse(stdout) as { checks: { name: string; level: string }[] };
  return checks.map(({ name, level }) => `${level} ${name}`);
}

/** What 10.77.0.9 sends that has 10.77.0.100 with vrid 51. */
function advertisement(): string {
  const source = parseIp('10.77.0.9')!;
  const destination = parseIp('224.0.0.18')!;
  const message = encodeAdvertisement(
    {
      version: 3,
      vrid: 51,
      priority: 254,
      advertisementIntervalMs: 100,
      addresses: [parseIp('10.77.0.100')!],
      authentication: { type: 'none' },
    },
    { source, destination },
    'pseudo-header',
  );
  const header = [0x45, 0xc0, 0, 20 + message.length, 0, 0, 0, 0, 255, 112, 0, 0];
  return Buffer.from([...header, ...source.octets, ...destination.octets, ...message]).toString('hex');
}

suite('kube-vrrp check on a host of its own', { concurrency: 3 }, () => {
  test('finds what is wrong with it and says what to do', async () => {
    const [good, wrong] = await Promise.all([
      check(SUBNET, '10.77.0.1,10.77.0.2', '--json'),
      check(SUBNET, '10.77.0.1,10.77.0.2', '--interface', 'eth9'),
    ]);
    assert.equal(good.code, 0, good.stderr + good.stdout);
    assert.deepEqual(levels(good), [
      'ok config',
      'ok capabilities',
      'ok interface',
      'ok subnet',
      'ok peers',
      'ok vip',
      'ok vrid',
      'ok proxy port',
      'ok admin port',
      'warn port reserved',
      'warn CA',
      'skip certificate',
      'skip certificate 10.77.0.2',
      'warn peer 10.77.0.2',
      'ok open files',
    ]);
    assert.equal(wrong.code, 1, wrong.stderr);
    assert.match(
      wrong.stdout,
      /^fail {2}interface +interface eth9 does not exist\n +-> this node has lo, cable, eth0$/m,
    );
    assert.match(wrong.stdout, /^skip {2}vip .*\n +-> .*\nskip {2}vrid /m);
    assert.doesNotMatch(wrong.stdout + wrong.stderr, /^\s+at |node:internal/m);
  });

  test('hears the router that uses its vrid though it is not in peers itself', async () => {
    const outcome = await check({ ...SUBNET, packet: advertisement() }, '10.77.0.9,10.77.0.2');
    assert.match(outcome.stdout, /^fail {2}peers /m, outcome.stderr);
    assert.match(outcome.stdout, /^ok +vrid +10\.77\.0\.9 advertises 10\.77\.0\.100 with vrid 51/m);
    const stranger = await check({ ...SUBNET, packet: advertisement() }, '10.77.0.1,10.77.0.2');
    assert.match(stranger.stdout, /^fail {2}vrid +10\.77\.0\.9 advertises .*, and is not in peers$/m);
  });

  test('does not claim to have listened for IPv6 where that is off, as the kernel drops all of it', async () => {
    const setUp = [...SUBNET.setUp, 'sysctl --quiet --write net.ipv6.conf.eth0.disable_ipv6=1'];
    const args = ['check', '--vip', '10.77.0.100,fd00:77::100', '--peers', '10.77.0.1'];
    const { stdout, stderr } = await kubeVrrpOn({ setUp }, args);
    assert.match(
      stdout,
      /^skip {2}vrid +did not listen for other IPv6 routers .*: IPv6 is off on eth0/m,
      stderr,
    );
    assert.match(stdout, /^ok +vrid +no other router used vrid 51 on eth0/m);
  });

  test('says why it does not listen for unicast on a node that is not in peers', async () => {
    const outcome = await check(SUBNET, '10.77.0.9,10.77.0.2', '--vrrp-transport', 'unicast');
    assert.match(
      outcome.stdout,
      /^skip {2}vrid +did not listen .*: vrrp\.transport is unicast, and eth0 has no/m,
    );
  });

  test('a VIP that no host can have is refused at once by run, check, manifest and kubeadm on a node', async () => {
    const vip = ['--vip', '10.77.0.255', '--peers', '10.77.0.1,10.77.0.2'];
    const commands = ['run', 'check', 'manifest', 'kubeadm'];
    const outcomes = await Promise.all(commands.map((name) => kubeVrrpOn(SUBNET, [name, ...vip])));
    for (const [index, { code, stdout, stderr }] of outcomes.entries()) {
      assert.deepEqual([code, stdout], [2, ''], commands[index]);
      assert.match(
        stderr,
        /^ {2}vip = "10\.77\.0\.255": expected the address of a host; this is the broadcast address of 10\.77\.0\.0\/24$/m,
      );
    }
    const peer = await kubeVrrpOn(SUBNET, ['run', '--vip', '10.77.0.9', '--peers', '10.77.0.1,10.77.0.0']);
    assert.match(
      peer.stderr,
      /^ {2}peers = "10\.77\.0\.0": .*; this is the network address of 10\.77\.0\.0\/24$/m,
    );
    const elsewhere = await kubeVrrpOn(SUBNET, ['kubeadm', '--vip', '10.77.0.255', '--peers', '10.77.9.1']);
    assert.equal(elsewhere.code, 0, elsewhere.stderr);
  });

  test('a network that an on-link route names is a subnet, and another one a warning where interface is given', async () => {
    const dhcp = {
      setUp: [
        'ip -6 address add fd00:77::7:1/128 dev eth0 nodad',
        'ip -6 route add fd00:77::/64 dev eth0 proto ra',
      ],
    };
    const flags = ['--health-ca-file', '/none/ca.crt', '--peers', 'fd00:77::7:1,fd00:77::7:2'];
    const byRoute = await kubeVrrpOn(dhcp, ['check', ...flags, '--vip', 'fd00:77::10']);
    assert.match(byRoute.stdout, /^ok +subnet +fd00:77::10 is in the subnet fd00:77::\/64$/m, byRoute.stderr);
    const elsewhere = ['check', ...flags, '--vip', 'fd00:99::10'];
    const [named, found] = await Promise.all([
      kubeVrrpOn(dhcp, [...elsewhere, '--interface', 'eth0']),
      kubeVrrpOn(dhcp, elsewhere),
    ]);
    assert.match(
      named.stdout,
      /^warn {2}subnet +vip fd00:99::10 is in no subnet of eth0 \(.*\)\n +-> this works where the routers/m,
    );
    assert.equal(named.code, 0, named.stdout);
    assert.equal(found.code, 1, found.stdout);
  });

  test('an interface is found by its altname', async () => {
    const setUp = [...SUBNET.setUp, 'ip link property add dev eth0 altname enp1s0f0np0-of-the-first-card'];
    const outcome = await check({ setUp }, '10.77.0.1', '--interface', 'enp1s0f0np0-of-the-first-card');
    assert.match(outcome.stdout, /^ok +interface +eth0 is there and up$/m, outcome.stderr);
  });
});
