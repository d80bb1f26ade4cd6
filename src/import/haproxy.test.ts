import assert from 'node:assert/strict';
import { suite, test } from 'node:test';

import { readBy } from '../testing/imported.ts';
import { importHaproxy } from './haproxy.ts';

/** As kubeadm's guide to highly available clusters has it. */
const GUIDE = `global
    log stdout format raw local0
    daemon
defaults
    mode                    http
    option http-server-close
    timeout check           10s
frontend apiserver
    bind *:8443
    mode tcp
    default_backend apiserverbackend
backend apiserverbackend
    option httpchk
    http-check connect ssl
    http-check send meth GET uri /healthz
    http-check expect status 200
    mode tcp
    balance     roundrobin
    server cp-1 192.168.100.1:6443 check verify none
    server cp-2 192.168.100.2:6443 check verify none # the second
    # server cp-3 192.168.100.3:6443 check verify none
`;

const read = readBy(importHaproxy, 'h.cfg');

const listen = (body: string): string => `listen api\nbind :36443\n${body}\n`;
const SERVER = 'server a 10.0.0.1:6443 check';

suite('from haproxy', () => {
  test("kubeadm's guide: the port, the API servers and their port, and nothing that is commented out", () => {
    assert.deepEqual(read(GUIDE), {
      values: { 'proxy.port': 8443, peers: ['192.168.100.1', '192.168.100.2'], 'proxy.backendPort': 6443 },
      findings: [],
    });
  });

  test('each value knows its line', () => {
    const { values } = importHaproxy({ name: 'h.cfg', text: GUIDE });
    assert.equal(values.get('proxy.port')?.where, 'h.cfg line 9');
    assert.equal(values.get('peers')?.where, 'h.cfg line 19');
  });

  test('a listen section, with IPv6', () => {
    const { values } = read('listen api\nbind :::36443 v4v6\nserver a [fd00::1]:6443\nserver b fd00::2:6443');
    assert.deepEqual(values['peers'], ['fd00::1', 'fd00::2']);
    assert.equal(values['proxy.port'], 36_443);
  });

  test('the path of the checks, however it is written', () => {
    for (const line of [
      'option httpchk GET /readyz',
      'option httpchk /readyz',
      'http-check send meth GET uri /readyz ver HTTP/1.1',
    ]) {
      assert.equal(read(listen(`${line}\n${SERVER}`)).values['health.path'], '/readyz', line);
    }
    assert.equal(read(listen(`http-check send meth GET\n${SERVER}`)).values['health.path'], undefined);
  });

  test('the port of the API server on the VIP alone cannot be listened on', () => {
    const { values, findings } = read(`listen api\nbind 10.0.0.9:6443\n${SERVER}`);
    assert.equal(values['proxy.port'], undefined);
    assert.match(findings.join('\n'), /line 2: port 6443 is left out/);
    assert.match(findings.join('\n'), /line 2: 10\.0\.0\.9 is left out/);
  });

  test('names of hosts are no peers', () => {
    const { values, findings } = read(listen(`${SERVER}\nserver b cp-2.example:6443`));
    assert.equal(values['peers'], undefined);
    assert.match(findings.join('\n'), /line 4: server cp-2\.example is left out/);
  });

  test('another port of one API server is said', () => {
    const { values, findings } = read(listen(`${SERVER}\nserver b 10.0.0.2:7443`));
    assert.equal(values['proxy.backendPort'], 6443);
    assert.match(findings.join('\n'), /line 4: 10\.0\.0\.2:7443 is checked and served on port 6443/);
  });

  test('among several proxies it is the one with servers on 6443', () => {
    const text = `listen web\nbind :80\nserver w 10.0.1.1:8080\n${listen(SERVER)}listen stats\nbind :9000\nstats enable`;
    assert.deepEqual(read(text).values['peers'], ['10.0.0.1']);
  });

  test('several that may be it, or none: nothing is guessed', () => {
    const two = read(`${listen(SERVER)}listen other\nbind :7000\n${SERVER}`);
    assert.deepEqual(two.values, {});
    assert.match(two.findings.join('\n'), /several proxies .* \(api, other\)/);
    assert.match(
      read('frontend f\nbind :1\ndefault_backend missing').findings.join('\n'),
      /nothing of it is used/,
    );
  });

  test('a port that the API servers do not have is taken, 6443 as well', () => {
    const { values, findings } = read('listen api\nbind *:6443\nserver a 10.0.0.1:6444\n');
    assert.deepEqual(values, { 'proxy.port': 6443, peers: ['10.0.0.1'], 'proxy.backendPort': 6444 });
    assert.deepEqual(findings, []);
  });

  test('a backend that a condition leads to may be the one for the API servers; others are named', () => {
    const backends = `backend web\nserver w 10.0.1.1:8080\nbackend k8s\n${SERVER}\n`;
    const { values, findings } = read(
      `frontend all\nbind *:443\nuse_backend k8s if { req.ssl_sni -i k8s }\ndefault_backend web\n${backends}`,
    );
    assert.deepEqual(values['peers'], ['10.0.0.1']);
    assert.match(findings.join('\n'), /line 3: use_backend is left out/);
    const ingress = read(`${listen(SERVER)}listen ingress\nbind :443\nserver w 10.0.1.1:8080\n`);
    assert.match(ingress.findings.join('\n'), /line 4: ingress is left out, and is gone when haproxy is/);
  });

  test('the path of the checks is the last one that holds: not that of other defaults, nor one that is replaced', () => {
    const text = `defaults\noption httpchk GET /ping\n${listen(`option httpchk GET /healthz\n${SERVER}`)}defaults\noption httpchk GET /later\n`;
    assert.equal(read(text).values['health.path'], undefined);
  });

  test('what the listening side adds, limits or refuses is said', () => {
    const { findings } = read(
      listen(`bind :36444 accept-proxy\ntcp-request connection reject if !ok\n${SERVER} backup`),
    );
    assert.match(findings.join('\n'), /line 3: bind :36444 is left out/);
    assert.match(findings.join('\n'), /line 3: accept-proxy is left out/);
    assert.match(findings.join('\n'), /line 4: tcp-request is left out/);
    assert.match(findings.join('\n'), /line 5: server a is backup here/);
  });

  test('ports that cannot be read, and a server that is disabled, are said', () => {
    const { values, findings } = read('listen api\nbind /run/api.sock\nserver a 10.0.0.1 disabled\n');
    assert.deepEqual(values, { peers: ['10.0.0.1'] });
    assert.match(findings.join('\n'), /line 2: bind \/run\/api\.sock has no port/);
    assert.match(findings.join('\n'), /line 3: the servers have no port/);
    assert.match(findings.join('\n'), /line 3: server a is disabled here/);
  });

  test('intervals of the checks, TLS and PROXY headers are said', () => {
    const { findings } = read(
      listen(
        'default-server inter 10s rise 2 fall 2\nserver a 10.0.0.1:6443 check ssl verify none\nserver b 10.0.0.2:6443 ssl verify none',
      ),
    );
    assert.equal(findings.length, 2, findings.join('\n'));
    assert.match(findings[0] ?? '', /line 3: inter, rise and fall are left out/);
    assert.match(findings[1] ?? '', /line 4: ssl and send-proxy are left out/);
  });
});
