import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';
import { stringify } from 'yaml';

import { backendPeers, type Config } from './config.ts';
import { parseAdminConfig, parseConfig, type ConfigSources } from './parse.ts';
import { formatProblem } from './problem.ts';
import { CONFIG_FIELDS } from './schema.ts';

const MINIMAL = 'vip: 192.168.100.10\npeers: [192.168.100.1, 192.168.100.2]\n';

function sources(text: string | null, rest: Partial<ConfigSources> = {}): ConfigSources {
  return { file: text === null ? null : { name: 'kube-vrrp.yaml', text }, env: {}, flags: [], ...rest };
}

function config(text: string | null, rest: Partial<ConfigSources> = {}): Config {
  const parsed = parseConfig(sources(text, rest));
  assert.ok(parsed.ok, parsed.ok ? '' : parsed.problems.map(formatProblem).join('\n'));
  return parsed.value;
}

function report(text: string | null, rest: Partial<ConfigSources> = {}): string[] {
  const parsed = parseConfig(sources(text, rest));
  assert.ok(!parsed.ok, 'expected problems');
  return parsed.problems.map(formatProblem);
}

test('preempt: never takes the delay that is none', () => {
  assert.equal(config(`${MINIMAL}vrrp: { preempt: never, preemptDelay: 0s }`).vrrp.preemptDelayMs, 0);
});

test('the example of the contract, and the defaults that it spells out', () => {
  const example = config(`
vip: 192.168.100.10            # an IPv4, an IPv6, or a list with one of each
interface: eth0
peers: [192.168.100.1, 192.168.100.2, 192.168.100.3]
vrrp:
  vrid: 51
  version: 3
  priority: auto
  advertisementInterval: 100ms
  preempt: unhealthy
  preemptDelay: 0s
  transport: multicast
proxy:
  port: 36443
  backendPort: 6443
health:
  path: /healthz
  interval: 1s
  timeout: 2s
  rise: 2
  fall: 3
  caFile: /etc/kubernetes/pki/ca.crt
admin:
  address: 127.0.0.1:10480
log: { level: info, format: json }
`);
  const { vips, peers, admin, ...plain } = example;
  assert.deepEqual(
    vips.map(({ text }) => text),
    ['192.168.100.10'],
  );
  assert.equal(peers.length, 3);
  assert.equal(admin.listen?.address.text, '127.0.0.1');
  assert.equal(admin.listen?.port, 10_480);
  assert.equal(admin.socket, '/run/kube-vrrp/control.sock');
  assert.deepEqual(plain, {
    interface: 'eth0',
    vrrp: {
      vrid: 51,
      version: 3,
      priority: 'auto',
      advertisementIntervalMs: 100,
      preempt: 'unhealthy',
      preemptDelayMs: 0,
      transport: 'multicast',
      senders: [],
      checksum: 'pseudo-header',
      authPass: null,
    },
    proxy: {
      port: 36_443,
      backendPort: 6443,
      workers: 1,
      maxConnections: 'auto',
      maxConnectionsPerSource: 0,
      allowedSources: [],
      acceptRate: 0,
      maxConnectionAgeMs: 0,
    },
    health: {
      path: '/healthz',
      intervalMs: 1000,
      timeoutMs: 2000,
      rise: 2,
      fall: 3,
      caFile: '/etc/kubernetes/pki/ca.crt',
      clientCertFile: null,
      clientKeyFile: null,
    },
    log: { level: 'info', format: 'json' },
  });
  const bare = config('vip: 192.168.100.10\npeers: [192.168.100.1, 192.168.100.2, 192.168.100.3]');
  assert.deepEqual({ ...bare, interface: 'eth0' }, example);
});

test('everything that is wrong is reported at once, with path, value, what was expected and where', () => {
  const text = `vip: [10.0.0.300, 10.0.0.1]
interfce: eth0
peers:
  - 10.0.0.1
  - 10.0.0.1
  - 127.0.0.1
vrid: 7
vrrp:
  vird: 51
  vrid: "51"
  version: 4
  priority: 300
  preempt: sometimes
proxy: 5
health: {path: healthz, timeout: 2, CAFile: x}
`;
  const lines = report(text, {
    env: { KUBE_VRRP_VRID: '3', KUBE_VRRP_LOG_LEVEL: 'loud', HOME: '/root' },
    flags: [
      { name: 'vipp', value: 'x' },
      { name: 'health-rise', value: '0' },
      { name: 'admin-address', value: null },
      { name: 'log-format', value: 'json' },
      { name: 'log-format', value: 'text' },
    ],
  });
  assert.deepEqual(lines, [
    'interfce = "eth0": unknown key; did you mean interface? (kube-vrrp.yaml line 2)',
    'vrid = 7: unknown key here; did you mean vrid under vrrp? (kube-vrrp.yaml line 7)',
    'vrrp.vird = 51: unknown key; did you mean vrrp.vrid? (kube-vrrp.yaml line 9)',
    'proxy = 5: expected a mapping with port, backendPort, workers, maxConnections, maxConnectionsPerSource, allowedSources, acceptRate, maxConnectionAge (kube-vrrp.yaml line 14)',
    'health.CAFile = "x": unknown key; did you mean health.caFile? (kube-vrrp.yaml line 15)',
    'KUBE_VRRP_VRID = "3": unknown variable; did you mean KUBE_VRRP_VRRP_VRID?',
    '--vipp = "x": unknown flag; did you mean --vip?',
    '--admin-address: expected a value after it',
    '--log-format = "text": given twice; write a list with commas, and anything else once',
    'vip[0] = "10.0.0.300": expected an IPv4 or IPv6 address of one host, without a prefix length (kube-vrrp.yaml line 1)',
    'peers[1] = "10.0.0.1": expected each address once (kube-vrrp.yaml line 5)',
    'peers[2] = "127.0.0.1": expected an IPv4 or IPv6 address of one host, without a prefix length; this is a loopback address (kube-vrrp.yaml line 6)',
    'vrrp.vrid = "51": expected a whole number from 1 to 255 (kube-vrrp.yaml line 10)',
    'vrrp.version = 4: expected 3 or 2 (kube-vrrp.yaml line 11)',
    'vrrp.priority = 300: expected auto, or a whole number from 1 to 31 (kube-vrrp.yaml line 12)',
    'vrrp.preempt = "sometimes": expected never, unhealthy or always (kube-vrrp.yaml line 13)',
    'health.path = "healthz": expected a path that starts with / and has no spaces (kube-vrrp.yaml line 15)',
    'health.timeout = 2: expected a duration from 100ms to 1m, such as 100ms or 1.5s (kube-vrrp.yaml line 15)',
    'health.rise = 0: expected a whole number from 1 to 100 (flag --health-rise)',
    'log.level = "loud": expected debug, info, warn or error (env KUBE_VRRP_LOG_LEVEL)',
  ]);
});

test('what is missing says how to give it', () => {
  assert.deepEqual(report(null), [
    'vip: missing; expected an IPv4 or IPv6 address without a prefix length, or a list with one of each; set it in the file, by --vip or by KUBE_VRRP_VIP',
    'peers: missing; expected a list of 1 to 255 IPv4 or IPv6 addresses; set it in the file, by --peers or by KUBE_VRRP_PEERS',
  ]);
  assert.deepEqual(report(''), report(null));
});

test('text that is not one YAML mapping is reported by line, and the other sources are still looked at', () => {
  const env = { KUBE_VRRP_VIPS: 'x' };
  assert.deepEqual(report('vip: 10.0.0.1\nvip: 10.0.0.2\npeers: [', { env }), [
    'YAML: Map keys must be unique (kube-vrrp.yaml line 2)',
    'YAML: Flow sequence in block collection must be sufficiently indented and end with a ] (kube-vrrp.yaml line 3)',
    'KUBE_VRRP_VIPS = "x": unknown variable; did you mean KUBE_VRRP_VIP?',
  ]);
  assert.deepEqual(report('- a'), ['YAML = ["a"]: expected a mapping of keys to values (kube-vrrp.yaml)']);
  assert.deepEqual(report(`${MINIMAL}---\n${MINIMAL}`), [
    'YAML: expected one document (kube-vrrp.yaml line 3)',
  ]);
  assert.deepEqual(report('vip: &a [*a]\npeers: !x [*a]'), [
    'YAML: Unresolved tag: !x (kube-vrrp.yaml line 2)',
    'YAML: aliases are not supported; write the value out (kube-vrrp.yaml line 1)',
    'YAML: aliases are not supported; write the value out (kube-vrrp.yaml line 2)',
  ]);
  assert.deepEqual(report(`${MINIMAL}5: x\n`), ['5: expected a key that is text (kube-vrrp.yaml line 3)']);
});

test('a flag beats a variable beats the file beats the default', () => {
  const env = { KUBE_VRRP_PROXY_PORT: '2' };
  const flags = [{ name: 'proxy-port', value: '3' }];
  const text = `${MINIMAL}proxy: { port: 1 }\n`;
  assert.equal(config(MINIMAL).proxy.port, 36_443);
  assert.equal(config(text).proxy.port, 1);
  assert.equal(config(text, { env }).proxy.port, 2);
  assert.equal(config(text, { env, flags }).proxy.port, 3);
});

test('a value of the file that is beaten is not looked at', () => {
  const text = MINIMAL.replace('192.168.100.10', 'CHANGE-ME');
  assert.equal(config(text, { env: { KUBE_VRRP_VIP: '192.168.100.10' } }).vips[0]?.text, '192.168.100.10');
});

test('RFC 9568 5.2.4: priorities 0 and 255, and numbers that no band can tell apart, are refused', () => {
  for (const priority of [0, 64, 100, 101, 254, 255, 1.5]) {
    const problems = report(`${MINIMAL}vrrp: { priority: ${priority} }`);
    assert.match(problems.join('\n'), /expected auto, or a whole number from 1 to 31/u);
  }
});

/** Good values of each field as a file has them, and the same as text. */
const SAMPLES: Readonly<Record<string, readonly [unknown, string][]>> = {
  vip: [
    ['10.0.0.9', '10.0.0.9'],
    [['fd00::9', '10.0.0.9'], 'fd00::9, 10.0.0.9'],
  ],
  interface: [['bond0.100', 'bond0.100']],
  peers: [[['10.0.0.1', '10.0.0.2', 'fd00::1'], '10.0.0.1,10.0.0.2,fd00::1']],
  'vrrp.vrid': [[1, '1']],
  'vrrp.version': [[2, '2']],
  'vrrp.priority': [
    [31, '31'],
    ['auto', 'auto'],
  ],
  'vrrp.advertisementInterval': [['40.95s', '40.95s']],
  'vrrp.preempt': [['always', 'always']],
  'vrrp.preemptDelay': [['5m', '5m']],
  'vrrp.transport': [['unicast', 'unicast']],
  'vrrp.senders': [],
  'vrrp.checksum': [['message', 'message']],
  'vrrp.authPass': [],
  'proxy.port': [[8443, '8443']],
  'proxy.backendPort': [[16_443, '16443']],
  'proxy.workers': [[4, '4']],
  'proxy.maxConnections': [[5000, '5000']],
  'proxy.maxConnectionsPerSource': [[50, '50']],
  'proxy.allowedSources': [[['10.0.0.0/8', 'fd00::/8', '192.0.2.1'], '10.0.0.0/8, fd00::/8,192.0.2.1']],
  'proxy.acceptRate': [[200, '200']],
  'proxy.maxConnectionAge': [['720m', '720m']],
  'health.path': [['/livez?exclude=etcd', '/livez?exclude=etcd']],
  'health.interval': [['500ms', '500ms']],
  'health.timeout': [['1.5s', '1.5s']],
  'health.rise': [[1, '1']],
  'health.fall': [[100, '100']],
  'health.caFile': [['ca, of mine.crt', 'ca, of mine.crt']],
  'health.clientCertFile': [],
  'health.clientKeyFile': [],
  'admin.address': [
    ['[::1]:1234', '[::1]:1234'],
    ['', ''],
  ],
  'admin.socket': [
    ['/tmp/x.sock', '/tmp/x.sock'],
    ['', ''],
  ],
  'log.level': [['debug', 'debug']],
  'log.format': [['text', 'text']],
};

test('file, variable and flag of a field mean the same', () => {
  assert.deepEqual(Object.keys(SAMPLES).toSorted(), CONFIG_FIELDS.map(({ path }) => path).toSorted());
  const base = { vip: '10.0.0.10', peers: ['10.0.0.1', 'fd00::1'] };
  for (const field of CONFIG_FIELDS) {
    for (const [value, text] of SAMPLES[field.path] ?? []) {
      const [group = '', key] = field.path.split('.');
      const byFile = config(stringify({ ...base, [group]: key === undefined ? value : { [key]: value } }));
      const byEnv = config(stringify(base), { env: { [field.env]: text } });
      const byFlag = config(stringify(base), { flags: [{ name: field.flag, value: text }] });
      assert.deepEqual(byEnv, byFile, field.path);
      assert.deepEqual(byFlag, byFile, field.path);
      if (value !== 'auto') assert.notDeepEqual(byFile, config(stringify(base)), field.path);
    }
  }
});

test('variables of Kubernetes services are no configuration, whatever their name', () => {
  const env = {
    KUBE_VRRP_PROXY_PORT: 'tcp://10.96.0.7:36443',
    KUBE_VRRP_PORT: 'tcp://10.96.0.7:36443',
    KUBE_VRRP_PORT_36443_TCP: 'tcp://10.96.0.7:36443',
    KUBE_VRRP_PORT_36443_TCP_ADDR: '10.96.0.7',
    KUBE_VRRP_SERVICE_HOST: '10.96.0.7',
    KUBE_VRRP_SERVICE_PORT: '36443',
    KUBE_VRRP_SERVICE_PORT_HTTPS: '36443',
    KUBE_VRRP_CONFIG: '/etc/kube-vrrp.yaml',
  };
  assert.deepEqual(config(MINIMAL, { env }), config(MINIMAL));
});

test('the VIP is one address, or two of different families, of a host', () => {
  const good = ['192.0.2.1', 'fd00::1', '[192.0.2.1, fd00::1]', '[fd00::1, 192.0.2.1]', '[192.0.2.1]'];
  for (const vip of good) config(MINIMAL.replace('192.168.100.10', vip));
  const bad: [string, string][] = [
    ['0.0.0.0', 'this is the unspecified address'],
    ['0.0.0.1', 'this is an address of "this network"'],
    ['127.0.0.1', 'this is a loopback address'],
    ['224.0.0.18', 'this is a multicast address'],
    ['255.255.255.255', 'this is a reserved or broadcast address'],
    ['"::"', 'this is the unspecified address'],
    ['"::1"', 'this is a loopback address'],
    ['ff02::12', 'this is a multicast address'],
    ['fe80::1', 'this is a link-local address'],
    ['169.254.1.1', 'this is a link-local address'],
    ['::ffff:10.0.0.1', 'this is an IPv4 address in IPv6 form'],
    ['192.0.2.1/32', 'without a prefix length'],
    ['fe80::1%eth0', 'without a prefix length'],
    ['[]', 'a list with one of each'],
    ['[192.0.2.1, fd00::1, fd00::2]', 'a list with one of each'],
    ['[192.0.2.1, 192.0.2.2]', 'expected an IPv6 address beside 192.0.2.1'],
    ['5', 'a list with one of each'],
    ['null', 'a list with one of each'],
  ];
  for (const [vip, expected] of bad) {
    const lines = report(MINIMAL.replace('192.168.100.10', vip));
    assert.equal(lines.length, 1, lines.join('\n'));
    assert.match(lines[0] ?? '', new RegExp(expected), vip);
  }
});

test('no port is one that something else has on every control-plane node', () => {
  const owners = { 2379: 'etcd', 2380: 'etcd', 10250: 'kubelet', 10257: 'kube-controller-manager' };
  for (const [port, owner] of Object.entries(owners)) {
    const lines = report(
      `${MINIMAL}proxy: { port: ${port} }\nadmin: { address: '127.0.0.1:${port}' }\n`,
    ).filter((line) => line.includes('control-plane node'));
    assert.equal(lines.length, 2, lines.join('\n'));
    for (const line of lines) {
      assert.match(
        line,
        new RegExp(`expected another port, as every control-plane node has ${owner} on ${port} \\(`),
      );
    }
  }
  assert.match(report(`${MINIMAL}proxy: { backendPort: 10250 }`).join('\n'), /^proxy\.backendPort = 10250: /);
});

test('an interface is a name, one of 127 characters too, and not what ip prints behind it', () => {
  config(`${MINIMAL}interface: enx${'0'.repeat(100)}`);
  const [vlan = ''] = report(`${MINIMAL}interface: eth0.100@bond0`);
  assert.match(
    vlan,
    /^interface = "eth0\.100@bond0": expected the name of a network interface; .*: give eth0\.100 \(/,
  );
  assert.match(report(`${MINIMAL}interface: lo`)[0] ?? '', /no other node is reached by lo/);
});

test('vrrp.senders may be what peers are not: IPv4 on another network, global IPv6 for unicast', () => {
  const senders = (text: string): Config =>
    config(`vip: [10.1.0.10, fd01::10]\npeers: [10.0.0.1, fd00::1]\nvrrp: ${text}`);
  assert.equal(senders('{ senders: [10.1.0.1, fe80::1] }').vrrp.senders.length, 2);
  assert.equal(senders('{ transport: unicast, senders: [10.1.0.1, fd01::1] }').vrrp.senders.length, 2);
  assert.match(
    report('vip: 10.1.0.10\npeers: [10.0.0.1]\nvrrp: { senders: [10.1.0.10] }')[0] ?? '',
    /^vrrp\.senders\[0\] = .* this is the VIP/,
  );
});

test('an IPv4 VIP needs IPv4 peers, and an IPv6 one does not', () => {
  assert.deepEqual(report('vip: 10.0.0.10\npeers: [fd00::1, fd00::2]\n'), [
    'peers = ["fd00::1","fd00::2"]: expected IPv4 addresses too, as vip has 10.0.0.10 (kube-vrrp.yaml line 2)',
  ]);
  assert.equal(config('vip: [10.0.0.10, fd00::10]\npeers: [10.0.0.1]\n').peers.length, 1);
});

test('rules that join fields', () => {
  const cases: [string, string][] = [
    [
      'vip: 10.0.0.1\npeers: [10.0.0.1]',
      'peers[0] = "10.0.0.1": expected the address of a node; this is the VIP, which belongs to no node (kube-vrrp.yaml line 2)',
    ],
    [
      `${MINIMAL}vrrp: { version: 2, advertisementInterval: 100ms }`,
      'vrrp.advertisementInterval = "100ms": expected 1s to 255s in whole seconds, as vrrp.version is 2 (kube-vrrp.yaml line 3)',
    ],
    [
      `${MINIMAL}vrrp: { version: 2, advertisementInterval: 1.5s }`,
      'vrrp.advertisementInterval = "1.5s": expected 1s to 255s in whole seconds, as vrrp.version is 2 (kube-vrrp.yaml line 3)',
    ],
    [
      `${MINIMAL}vrrp: { advertisementInterval: 15ms }`,
      'vrrp.advertisementInterval = "15ms": expected 10ms to 40.95s in steps of 10ms, as vrrp.version is 3 (kube-vrrp.yaml line 3)',
    ],
    [
      `${MINIMAL}vrrp: { advertisementInterval: 41s }`,
      'vrrp.advertisementInterval = "41s": expected 10ms to 40.95s in steps of 10ms, as vrrp.version is 3 (kube-vrrp.yaml line 3)',
    ],
    [
      'vip: [10.0.0.10, fd00::10]\npeers: [10.0.0.1]\nvrrp: { version: 2 }',
      'vip[1] = "fd00::10": expected IPv4 only, as vrrp.version is 2; version 3 has IPv6 too (kube-vrrp.yaml line 1)',
    ],
    [
      'vip: [10.0.0.10, fd00::10]\npeers: [10.0.0.1]\nvrrp: { transport: unicast }',
      'peers = ["10.0.0.1"]: expected IPv6 addresses too, as vrrp.transport is unicast and vip has fd00::10 (kube-vrrp.yaml line 2)',
    ],
    [
      `${MINIMAL}vrrp: { senders: [fe80::1] }`,
      'vrrp.senders[0] = "fe80::1": expected to be left out, as vip has no IPv6 address (kube-vrrp.yaml line 3)',
    ],
    [
      'vip: fd00::10\npeers: [fd00::1]\nvrrp: { transport: unicast, senders: [fe80::1] }',
      'vrrp.senders[0] = "fe80::1": expected an address that is not link-local, as vrrp.transport is unicast (kube-vrrp.yaml line 3)',
    ],
    [
      'vip: fd00::10\npeers: [fd00::1]\nvrrp: { senders: [fe80::1, fd00::2] }',
      'vrrp.senders[1] = "fd00::2": expected a link-local address, which IPv6 multicast is sent from (kube-vrrp.yaml line 3)',
    ],
    [
      'vip: fd00::10\npeers: [fd00::1]\nvrrp: { senders: [fe80::1, fe80:0::1] }',
      'vrrp.senders[1] = "fe80:0::1": expected each address once (kube-vrrp.yaml line 3)',
    ],
    [
      `${MINIMAL}vrrp: { preempt: never, preemptDelay: 5s }`,
      'vrrp.preemptDelay = "5s": expected to be left out, as vrrp.preempt is never, so that there is nothing to wait for (kube-vrrp.yaml line 3)',
    ],
    [
      `${MINIMAL}vrrp: { authPass: secret }`,
      'vrrp.authPass = "secret": expected to be left out, as vrrp.version is 3, which has no authentication (kube-vrrp.yaml line 3)',
    ],
    [
      `${MINIMAL}health: { clientCertFile: c.crt }`,
      'health.clientKeyFile = none: expected the file of the private key, as health.clientCertFile is given (default)',
    ],
    [
      `${MINIMAL}proxy: { allowedSources: [10.0.0.0/33] }`,
      'proxy.allowedSources[0] = "10.0.0.0/33": expected a network such as 10.0.0.0/8 or fd00::/8, or an address (kube-vrrp.yaml line 3)',
    ],
    [
      `${MINIMAL}proxy: { backendPort: 36443 }`,
      'proxy.port = 36443: expected another port than proxy.backendPort, which the API server of this node listens on (default)',
    ],
    [
      `${MINIMAL}proxy: { port: 10480 }`,
      'admin.address = 127.0.0.1:10480: expected another port than proxy.port (default)',
    ],
    [
      `${MINIMAL}admin: { address: "0.0.0.0:6443" }`,
      'admin.address = "0.0.0.0:6443": expected another port than proxy.backendPort (kube-vrrp.yaml line 3)',
    ],
  ];
  for (const [text, expected] of cases) assert.deepEqual(report(text), [expected]);
});

test('rules are tried beside problems elsewhere', () => {
  const lines = report('vip: 10.0.0.1\npeers: [10.0.0.1]\nlog: { level: loud }');
  assert.equal(lines.length, 2);
});

test('auto tells at most 31 nodes apart; a number of its own for each node has no such limit', () => {
  const peers = Array.from({ length: 32 }, (_, index) => `10.0.0.${index + 1}`);
  const text = stringify({ vip: '10.0.1.1', peers });
  assert.match(
    report(text)[0] ?? '',
    /^peers = .*: expected at most 31 addresses, as vrrp.priority is auto; there are 32/,
  );
  assert.equal(config(text, { flags: [{ name: 'vrrp-priority', value: '9' }] }).peers.length, 32);
  assert.equal(config(stringify({ vip: '10.0.1.1', peers: peers.slice(1) })).peers.length, 31);
});

test('version 2 has a default interval that it can express', () => {
  assert.equal(config(`${MINIMAL}vrrp: { version: 2 }`).vrrp.advertisementIntervalMs, 1000);
  assert.equal(config(`${MINIMAL}vrrp: { version: 2, authPass: secret }`).vrrp.authPass, 'secret');
  assert.equal(
    config(`${MINIMAL}vrrp: { version: 2, advertisementInterval: 255s }`).vrrp.advertisementIntervalMs,
    255_000,
  );
});

test('a group whose keys are all commented out is as if it were not there', () => {
  assert.deepEqual(config(`${MINIMAL}vrrp:\n  # vrid: 51\nlog: {}\n`), config(MINIMAL));
});

test('endpoints can be turned off', () => {
  const { admin } = config(`${MINIMAL}admin: { address: "", socket: "" }`);
  assert.deepEqual(admin, { listen: null, socket: null });
  for (const address of [
    '10480',
    'localhost:10480',
    ':10480',
    '::1:10480',
    '127.0.0.1:0',
    '127.0.0.1:65536',
    '[10.0.0.1]:1',
  ]) {
    assert.equal(report(`${MINIMAL}admin: { address: "${address}" }`).length, 1, address);
  }
});

test('long values and control characters are shown short and harmless', () => {
  const [line = ''] = report(`${MINIMAL}interface: "${'x'.repeat(5000)}"`);
  assert.ok(line.length < 200, line);
  const [escaped = ''] = report(`${MINIMAL}interface: "a\\e[31m\\n b"`);
  assert.ok(escaped.includes(String.raw`"a\u001b[31m\n b"`), escaped);
});

test('any values under any keys give a config or problems, never an exception', () => {
  const keys = fc.oneof(
    fc.string(),
    fc.constantFrom('vip', 'peers', 'vrrp', 'vrid', 'proxy', 'port', 'health', 'admin'),
  );
  const { tree } = fc.letrec((tie) => ({
    tree: fc.oneof(
      { maxDepth: 3 },
      fc.constantFrom<unknown>(null, true, 1, -1, 1.5, '10.0.0.1', '1s', 'auto', ''),
      fc.string(),
      fc.array(tie('tree'), { maxLength: 3 }),
      fc.dictionary(keys, tie('tree'), { maxKeys: 5 }),
    ),
  }));
  fc.assert(
    fc.property(
      fc.dictionary(keys, tree, { maxKeys: 6 }),
      fc.dictionary(fc.string(), fc.string()),
      (file, env) => {
        const parsed = parseConfig(sources(stringify(file), { env }));
        if (!parsed.ok)
          for (const problem of parsed.problems) assert.ok(!formatProblem(problem).includes('\n'));
      },
    ),
  );
});

test('any text is a config or problems, never an exception', () => {
  const yamlish = fc.string({
    unit: fc.constantFrom(...'ab1:-[]{}&*!|>#"\'\n \t,?%@'.split('')),
    maxLength: 40,
  });
  fc.assert(
    fc.property(yamlish, (text) => {
      parseConfig(sources(text));
    }),
    { numRuns: 500 },
  );
});

test('commands that only talk to the daemon look at the admin group alone', () => {
  const parsed = parseAdminConfig(sources('vipp: 3\nvrrp: { vrid: 0 }\nadmin: { socket: /tmp/c.sock }'));
  assert.deepEqual(parsed.ok && parsed.value.socket, '/tmp/c.sock');
  const wrong = parseAdminConfig(
    sources('vip: 3\nadmin: { sokcet: /tmp/c.sock }', {
      env: { KUBE_VRRP_ADMIN_ADDRESS: 'x', KUBE_VRRP_NONSENSE: '1' },
    }),
  );
  assert.deepEqual(wrong.ok ? [] : wrong.problems.map(({ path }) => path), ['admin.sokcet', 'admin.address']);
});

test('API servers are the peers of the first VIP family, or all where there are none of it', () => {
  const texts = (text: string): string[] => backendPeers(config(text)).map((peer) => peer.text);
  assert.deepEqual(texts('vip: [10.0.0.10, fd00::10]\npeers: [fd00::1, 10.0.0.1]'), ['10.0.0.1']);
  assert.deepEqual(texts('vip: [fd00::10, 10.0.0.10]\npeers: [fd00::1, 10.0.0.1]'), ['fd00::1']);
  assert.deepEqual(texts('vip: fd00::10\npeers: [10.0.0.1]'), ['10.0.0.1']);
});
