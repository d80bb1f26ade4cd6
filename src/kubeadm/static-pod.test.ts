import assert from 'node:assert/strict';
import { suite, test } from 'node:test';

import fc from 'fast-check';
import { parse } from 'yaml';

import type { Config } from '../config/config.ts';
import { parseConfig, type GivenFlag } from '../config/parse.ts';
import { formatProblem } from '../config/problem.ts';
import { staticPod } from './static-pod.ts';

type Probe = {
  httpGet: { host: string; port: number; path: string };
  periodSeconds: number;
  failureThreshold: number;
};
type Container = {
  name: string;
  image: string;
  args: string[];
  env: { name: string; value: string }[];
  resources: { requests: Record<string, string>; limits: Record<string, string> };
  startupProbe?: Probe;
  livenessProbe?: Probe;
  readinessProbe?: Probe;
  securityContext: { capabilities: { drop: string[]; add: string[] } } & Record<string, unknown>;
  volumeMounts: { name: string; mountPath: string; readOnly?: boolean }[];
};
type Pod = {
  metadata: { name: string; namespace: string; labels: Record<string, string> };
  spec: { containers: [Container]; volumes: Record<string, unknown>[] } & Record<string, unknown>;
};

const THREE_NODES = { vip: '192.168.100.10', peers: '192.168.100.1,192.168.100.2,192.168.100.3' };

function flagsOf(values: Readonly<Record<string, string>>): GivenFlag[] {
  return Object.entries(values).map(([name, value]) => ({ name, value }));
}

function configOf(values: Readonly<Record<string, string>>): Config {
  const parsed = parseConfig({ file: null, env: {}, flags: flagsOf(values) });
  assert.ok(parsed.ok, parsed.ok ? '' : parsed.problems.map(formatProblem).join('\n'));
  return parsed.value;
}

function yamlOf(values: Readonly<Record<string, string>>, image = 'kube-vrrp:1', name = 'kube-vrrp'): string {
  const pod = staticPod({ config: configOf(values), image, name });
  assert.ok(pod.ok, pod.ok ? '' : pod.problems.map(formatProblem).join('\n'));
  return pod.value;
}

/** kubelet reads YAML 1.1, most other programs 1.2: both have to see the same pod. */
function podOf(text: string): Pod {
  const pod = parse(text, { version: '1.2' }) as Pod;
  assert.deepEqual(parse(text, { version: '1.1' }), pod);
  return pod;
}

function containerOf(values: Readonly<Record<string, string>>): Container {
  return podOf(yamlOf({ ...THREE_NODES, ...values })).spec.containers[0];
}

function problemsOf(
  values: Readonly<Record<string, string>>,
  image = 'kube-vrrp:1',
  name = 'kube-vrrp',
): string[] {
  const pod = staticPod({ config: configOf({ ...THREE_NODES, ...values }), image, name });
  assert.ok(!pod.ok, 'expected problems');
  return pod.problems.map(formatProblem);
}

/** Replaces `$(NAME)` as Kubernetes does in the value of a variable; `$$` stands for `$`. */
function expand(value: string, known: Readonly<Record<string, string>>): string {
  return value.replaceAll(/\$\$|\$\(([^)]*)\)/g, (whole, name: string | undefined) => {
    if (name === undefined) return '$';
    return known[name] ?? whole;
  });
}

/** The environment that the container gets: later variables may refer to earlier ones. */
function environmentOf({ env }: Container): Record<string, string> {
  const values: Record<string, string> = {};
  for (const { name, value } of env) values[name] = expand(value, values);
  return values;
}

const ipv4 = fc.tuple(fc.integer({ min: 1, max: 254 }), fc.integer({ min: 1, max: 254 }));
const ipv6 = fc.integer({ min: 1, max: 0xff_ff }).map((group) => `fd00::${group.toString(16)}`);
const nodes4 = fc
  .uniqueArray(
    ipv4.map(([third, fourth]) => `10.1.${third}.${fourth}`),
    { minLength: 1, maxLength: 9 },
  )
  .map((list) => list.join(','));
const vip4 = ipv4.map(([third, fourth]) => `10.2.${third}.${fourth}`);
/** What YAML, shells and Kubernetes give a meaning to. */
const awkward = fc.stringMatching(/^(?:[a-z#'"\\{}&*!|>%@`,~é -]|\$|\$\$|\$\(KUBE_VRRP_VIP\)|[(]){1,9}$/);
const word = fc.oneof(fc.constantFrom('yes', 'on', 'null', '1_000', '0x1f', '1e3', '2026-01-01'), awkward);
const milliseconds = (min: number, max: number): fc.Arbitrary<string> =>
  fc.oneof(
    fc.integer({ min, max }).map((ms) => `${ms}ms`),
    fc.integer({ min: min * 10, max: max * 10 }).map((tenths) => `${tenths / 10}ms`),
  );

const common = {
  interface: word
    .map((text) => text.replaceAll(/[\s/:@]/g, '').slice(0, 15))
    .filter((text) => text !== '' && text !== 'lo'),
  'vrrp-vrid': fc.integer({ min: 1, max: 255 }).map(String),
  'vrrp-priority': fc.oneof(fc.constant('auto'), fc.integer({ min: 1, max: 31 }).map(String)),
  'vrrp-preempt': fc.constantFrom('never', 'unhealthy', 'always'),
  'vrrp-preempt-delay': milliseconds(0, 3_600_000),
  'vrrp-checksum': fc.constantFrom('message', 'pseudo-header'),
  // Below those of kubelet and beyond those of etcd, which a control-plane node needs itself.
  'proxy-port': fc.integer({ min: 2382, max: 10_247 }).map(String),
  'proxy-backend-port': fc.integer({ min: 20_001, max: 36_442 }).map(String),
  'proxy-workers': fc.integer({ min: 1, max: 16 }).map(String),
  'proxy-max-connections': fc.oneof(fc.constant('auto'), fc.integer({ min: 1, max: 1_000_000 }).map(String)),
  'proxy-max-connections-per-source': fc.integer({ min: 0, max: 1_000_000 }).map(String),
  'proxy-allowed-sources': fc.constantFrom('', '10.0.0.0/8', '192.0.2.1,fd00::/8'),
  'proxy-accept-rate': fc.integer({ min: 0, max: 1_000_000 }).map(String),
  'proxy-max-connection-age': milliseconds(0, 604_800_000),
  'health-path': awkward.map((text) => `/${text.replaceAll(/[^!-~]/g, '')}`),
  'health-interval': milliseconds(100, 60_000),
  'health-timeout': milliseconds(100, 60_000),
  'health-rise': fc.integer({ min: 1, max: 100 }).map(String),
  'health-fall': fc.integer({ min: 1, max: 100 }).map(String),
  'health-ca-file': fc.array(word, { minLength: 1, maxLength: 4 }).map((parts) => `/pki/${parts.join('/')}`),
  'admin-address': fc.constantFrom('', '127.0.0.1:40001', '[::1]:40002', '0.0.0.0:40003', '[::]:40004'),
  'admin-socket': fc.constantFrom('', '/run/kube-vrrp/other.sock', '/var/lib/x/$(y)/c.sock'),
  'log-level': fc.constantFrom('debug', 'info', 'warn', 'error'),
  'log-format': fc.constantFrom('json', 'text'),
};

/** Flags of good configurations: any subset of the optional ones that go together. */
const goodFlags: fc.Arbitrary<Record<string, string>> = fc
  .oneof(
    fc.record(
      {
        vip: fc.oneof(
          vip4,
          ipv6,
          fc.tuple(vip4, ipv6).map((both) => both.join(',')),
        ),
        peers: nodes4,
        'vrrp-advertisement-interval': fc.integer({ min: 1, max: 4095 }).map((cs) => `${cs * 10}ms`),
        ...common,
      },
      { requiredKeys: ['vip', 'peers'] },
    ),
    fc.record(
      {
        vip: vip4,
        peers: nodes4,
        'vrrp-version': fc.constant('2'),
        'vrrp-transport': fc.constantFrom('multicast', 'unicast'),
        'vrrp-advertisement-interval': fc.integer({ min: 1, max: 255 }).map((seconds) => `${seconds}s`),
        'vrrp-auth-pass': fc
          .oneof(
            fc.stringMatching(/^[!-~]{1,8}$/),
            word.map((text) => text.replaceAll(/[^!-~]/g, '').slice(0, 8)),
          )
          .filter((text) => text !== '' && !/^(?:tcp|udp|sctp):\/\//.test(text)),
        ...common,
      },
      { requiredKeys: ['vip', 'peers', 'vrrp-version'] },
    ),
  )
  .map((flags) => {
    const { 'vrrp-preempt-delay': _delay, ...others } = flags;
    return flags['vrrp-preempt'] === 'never' ? others : flags;
  });

suite('the static pod', () => {
  test('gives back every configuration through YAML, the expansion of $(NAME) and the environment', () => {
    fc.assert(
      fc.property(goodFlags, (flags) => {
        const config = configOf(flags);
        const env = environmentOf(podOf(yamlOf(flags)).spec.containers[0]);
        assert.deepEqual(parseConfig({ file: null, env, flags: [] }), { ok: true, value: config });
      }),
      { numRuns: 100 },
    );
  });

  test('has the variables that differ from the defaults, and no others', () => {
    assert.deepEqual(containerOf({}).env, [
      { name: 'KUBE_VRRP_VIP', value: '192.168.100.10' },
      { name: 'KUBE_VRRP_PEERS', value: '192.168.100.1,192.168.100.2,192.168.100.3' },
    ]);
    const defaults = {
      'vrrp-vrid': '51',
      'vrrp-advertisement-interval': '0.1s',
      'admin-address': '127.0.0.1:10480',
    };
    assert.equal(containerOf(defaults).env.length, 2);
    // The default interval of version 2 is another one.
    const names = (values: Record<string, string>): string[] =>
      containerOf(values)
        .env.slice(2)
        .map(({ name }) => name);
    assert.deepEqual(names({ 'vrrp-version': '2', 'vrrp-advertisement-interval': '1s' }), [
      'KUBE_VRRP_VRRP_VERSION',
    ]);
    assert.deepEqual(
      names({ 'vrrp-version': '2', 'vrrp-advertisement-interval': '2s', 'admin-address': '' }),
      ['KUBE_VRRP_VRRP_VERSION', 'KUBE_VRRP_VRRP_ADVERTISEMENT_INTERVAL', 'KUBE_VRRP_ADMIN_ADDRESS'],
    );
  });

  test('runs on the network of the node, needs no API server, DNS or Service, and is critical', () => {
    const { metadata, spec } = podOf(yamlOf(THREE_NODES, 'registry.example:5000/a/kube-vrrp:1.2.3', 'vip'));
    assert.deepEqual([metadata.name, metadata.namespace], ['vip', 'kube-system']);
    assert.equal(metadata.labels['app.kubernetes.io/instance'], 'vip');
    assert.equal(metadata.labels['tier'], 'control-plane');
    const { containers, volumes, ...rest } = spec;
    assert.deepEqual(rest, {
      hostNetwork: true,
      dnsPolicy: 'Default',
      enableServiceLinks: false,
      priorityClassName: 'system-node-critical',
      priority: 2_000_001_000,
      terminationGracePeriodSeconds: 30,
    });
    const [{ name, image, args }] = containers;
    assert.deepEqual([name, image, args], ['vip', 'registry.example:5000/a/kube-vrrp:1.2.3', ['run']]);
    assert.deepEqual(volumes, [
      { name: 'cluster-ca', hostPath: { path: '/etc/kubernetes/pki/ca.crt', type: 'File' } },
      { name: 'control-socket', emptyDir: { medium: 'Memory', sizeLimit: '1Mi' } },
    ]);
  });

  test('may do what it has to and nothing else, and is never throttled', () => {
    const { securityContext, resources, volumeMounts } = containerOf({});
    assert.deepEqual(securityContext, {
      runAsUser: 0,
      readOnlyRootFilesystem: true,
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'], add: ['NET_ADMIN', 'NET_RAW', 'SYS_NICE'] },
      seccompProfile: { type: 'RuntimeDefault' },
    });
    assert.deepEqual(resources, {
      requests: { cpu: '250m', memory: '128Mi' },
      limits: { memory: '512Mi' },
    });
    assert.deepEqual(volumeMounts, [
      { name: 'cluster-ca', mountPath: '/etc/kubernetes/pki/ca.crt', readOnly: true },
      { name: 'control-socket', mountPath: '/run/kube-vrrp' },
    ]);
    assert.equal(containerOf({ 'proxy-workers': '3' }).resources.limits['memory'], '768Mi');
  });

  test('gets the client certificate of the checks and its key from the node', () => {
    const pair = {
      'health-client-cert-file': '/pki/client.crt',
      'health-client-key-file': '/pki/client.key',
    };
    const text = yamlOf({ ...THREE_NODES, ...pair });
    const { containers, volumes } = podOf(text).spec;
    const client = [
      ['client-cert', '/pki/client.crt'],
      ['client-key', '/pki/client.key'],
    ] as const;
    assert.deepEqual(
      volumes.slice(1, 3),
      client.map(([name, path]) => ({ name, hostPath: { path, type: 'File' } })),
    );
    assert.deepEqual(
      containers[0].volumeMounts.slice(1, 3),
      client.map(([name, mountPath]) => ({ name, mountPath, readOnly: true })),
    );
    assert.ok(!text.includes('no private key'));
    const both = { 'health-client-cert-file': '/pki/both.pem', 'health-client-key-file': '/pki/both.pem' };
    assert.deepEqual(
      containerOf(both).volumeMounts.map(({ name }) => name),
      ['cluster-ca', 'client-cert', 'control-socket'],
      'Kubernetes refuses a mountPath that is there twice',
    );
  });

  test('has the capability for ports below 1024 only where there is one', () => {
    const added = (values: Record<string, string>): boolean =>
      containerOf(values).securityContext.capabilities.add.includes('NET_BIND_SERVICE');
    assert.deepEqual(
      [{ 'proxy-port': '1023' }, { 'admin-address': '127.0.0.1:1023' }, { 'proxy-port': '1024' }].map(added),
      [true, true, false],
    );
  });

  test('is probed where the admin endpoint listens, seen from kubelet on the same node', () => {
    const { startupProbe, livenessProbe, readinessProbe } = containerOf({});
    const live = { host: '127.0.0.1', port: 10_480, path: '/livez' };
    assert.deepEqual(startupProbe?.httpGet, live);
    assert.deepEqual(livenessProbe?.httpGet, live);
    assert.deepEqual(readinessProbe?.httpGet, { ...live, path: '/readyz' });
    const hosts = ['0.0.0.0:1234', '[::]:1234', '[::1]:1234', '10.0.0.1:1234'].map((address) => {
      const { httpGet } = containerOf({ 'admin-address': address }).livenessProbe ?? {};
      return [httpGet?.host, httpGet?.port];
    });
    assert.deepEqual(hosts, [
      ['127.0.0.1', 1234],
      ['::1', 1234],
      ['::1', 1234],
      ['10.0.0.1', 1234],
    ]);
  });

  test('has no probes when the admin endpoint is off, and no socket folder when that is off', () => {
    const text = yamlOf({ ...THREE_NODES, 'admin-address': '', 'admin-socket': '' });
    const { containers, volumes } = podOf(text).spec;
    assert.deepEqual(
      Object.keys(containers[0]).filter((key) => key.endsWith('Probe')),
      [],
    );
    assert.match(text, /admin\.address is off, so there are no probes/);
    assert.equal(volumes.length, 1);
    assert.equal(containers[0].volumeMounts.length, 1);
  });

  test('says when it fits one node only', () => {
    const one = /THIS FILE IS FOR ONE NODE/;
    assert.doesNotMatch(yamlOf(THREE_NODES), one);
    assert.doesNotMatch(yamlOf({ ...THREE_NODES, 'admin-address': '0.0.0.0:9100' }), one);
    assert.match(yamlOf({ ...THREE_NODES, 'vrrp-priority': '20' }), one);
    assert.match(
      yamlOf({ ...THREE_NODES, 'admin-address': '192.168.100.1:9100' }),
      /FOR ONE NODE: admin\.address is 192\.168\.100\.1/,
    );
  });

  test('quotes every value that is not ours, as readers of YAML 1.1 differ in what they take for a text', () => {
    const text = yamlOf({ ...THREE_NODES, interface: 'on', 'vrrp-vrid': '7' }, '1_000', 'no');
    const lines = text.split('\n').filter((line) => /^ *-? *(?:value|image|name|host|path): /.test(line));
    const ours = /: (?:KUBE_VRRP_\w+|cluster-ca|control-socket|\/livez|\/readyz)$/;
    assert.deepEqual(
      lines.filter((line) => !ours.test(line) && !/: '[^']*'$/.test(line)),
      [],
    );
    assert.ok(lines.length > 15);
  });

  test('has no comment line that a terminal of 120 columns breaks', () => {
    const lines = yamlOf({ ...THREE_NODES, 'vrrp-priority': '7', 'admin-address': '[::]:80' }).split('\n');
    assert.ok(Math.max(...lines.map((line) => line.length)) <= 120);
  });
});

suite('what fits no static pod', () => {
  test('paths that Kubernetes cannot mount', () => {
    const message =
      'expected an absolute path without : or .., as the pod gets the file from the node by its path';
    for (const path of ['ca.crt', '/a/../ca.crt', '/a:b/ca.crt', '/a/']) {
      assert.deepEqual(problemsOf({ 'health-ca-file': path }), [
        `health.caFile = ${JSON.stringify(path)}: ${message}`,
      ]);
    }
    assert.deepEqual(
      problemsOf({ 'health-client-cert-file': '/a/c.crt', 'health-client-key-file': 'c.key' }),
      [`health.clientKeyFile = "c.key": ${message}`],
    );
    for (const path of [
      '/control.sock',
      '/run/c.sock',
      '/etc/a/c.sock',
      '/run/../c.sock',
      '/run/a:b/c.sock',
    ]) {
      assert.match(problemsOf({ 'admin-socket': path }).join('\n'), /^admin\.socket = .*folder of its own/);
    }
    assert.match(
      problemsOf({ 'admin-socket': '/run/a/b', 'health-ca-file': '/run/a' }).join('\n'),
      /^admin\.socket = "\/run\/a\/b": expected another folder than health\.caFile$/,
    );
  });

  test('values that a variable cannot give, or YAML cannot carry', () => {
    assert.deepEqual(problemsOf({ 'vrrp-version': '2', 'vrrp-auth-pass': 'tcp://x' }), [
      'vrrp.authPass = "tcp://x": expected a value that the variable KUBE_VRRP_VRRP_AUTH_PASS can give, which is how a static pod gets it',
    ]);
    assert.deepEqual(problemsOf({ 'health-ca-file': '/a\u0085b' }), [
      'health.caFile = "/a\u0085b": expected printable characters only, for a manifest',
    ]);
  });

  test('names and images that are none, told together with everything else', () => {
    const told = problemsOf({ 'health-ca-file': 'x' }, 'Kube VRRP', 'Pod_1');
    assert.deepEqual(
      told.map((line) => line.split(' ')[0]),
      ['--image', '--name', 'health.caFile'],
    );
    for (const image of ['', 'a b', 'a:', 'a@sha256:1', 'a/', 'UPPER', '-a']) {
      assert.match(problemsOf({}, image).join('\n'), /^--image = /, image);
    }
    const digest = `@sha256:${'0'.repeat(64)}`;
    const good = [
      'a',
      'a:b',
      'docker.io/a/b_c:1.0',
      'localhost:5000/a',
      '[::1]:5000/a',
      `r.example/a${digest}`,
    ];
    for (const image of good) assert.equal(podOf(yamlOf(THREE_NODES, image)).spec.containers[0].image, image);
    for (const name of ['', 'A', 'a.b', '-a', 'a-', 'a'.repeat(64)]) {
      assert.match(problemsOf({}, undefined, name).join('\n'), /^--name = /, name);
    }
    for (const name of ['on', '1', '1e3', 'a'.repeat(63)]) {
      assert.equal(podOf(yamlOf(THREE_NODES, undefined, name)).metadata.name, name);
    }
  });
});
