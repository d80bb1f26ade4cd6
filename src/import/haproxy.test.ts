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
      findings: [
        'h.cfg line 1: global is left out: it is about the haproxy process itself',
        'h.cfg line 6: option http-server-close is left out: kube-vrrp passes on what clients send as it is',
        "h.cfg line 7: timeout check is left out: kube-vrrp's own is 2s (health.timeout)",
        'h.cfg line 18: balance is left out: each new client gets the API server that has the fewest',
        "h.cfg line 19: verify none is left out: kube-vrrp verifies the API servers' certificates, by the CA in health.caFile",
      ],
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
      'option httpchk GET /livez',
      'option httpchk /livez',
      'http-check send meth GET uri /livez ver HTTP/1.1',
    ]) {
      assert.equal(read(listen(`${line}\n${SERVER}`)).values['health.path'], '/livez', line);
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
    assert.match(
      ingress.findings.join('\n'),
      /line 4: listen ingress is left out: .* is gone when haproxy is/,
    );
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
    assert.deepEqual(
      findings.map((finding) => finding.split(':')[0]),
      ['h.cfg line 3', 'h.cfg line 4', 'h.cfg line 4'],
    );
    assert.match(findings[0] ?? '', /inter, rise, fall are left out/);
    assert.match(findings[1] ?? '', /ssl is left out/);
    assert.match(findings[2] ?? '', /verify none is left out: kube-vrrp verifies/);
  });

  /** As OpenShift's operator writes it. */
  const OPENSHIFT = `defaults
  maxconn 20000
  mode    tcp
  log     /var/run/haproxy/haproxy-log.sock local0
  option  dontlognull
  retries 3
  timeout client 86400s
  timeout server 86400s
frontend  main
  bind :::9445 v4v6
  default_backend masters
listen health_check_http_url
  bind :::9444 v4v6
  mode http
  monitor-uri /haproxy_ready
listen stats
  bind localhost:29445
  mode http
  stats enable
backend masters
   timeout connect 10s
   option  httpchk GET /readyz HTTP/1.0
   balance roundrobin
   server etcd-0 192.168.1.99:6443 weight 1 verify none check check-ssl inter 1s fall 2 rise 3
`;

  test("OpenShift's: /readyz stays readiness, and every line that is left out is said", () => {
    const { values, findings } = read(OPENSHIFT);
    assert.deepEqual(values, { 'proxy.port': 9445, peers: ['192.168.1.99'], 'proxy.backendPort': 6443 });
    const text = findings.join('\n');
    for (const expected of [
      /line 2: maxconn is left out/,
      /line 4: log, option dontlognull are left out/,
      /line 6: retries is left out/,
      /line 7: timeout client, timeout server are left out: kube-vrrp ends no connection/,
      /line 12: listen health_check_http_url is left out: kube-vrrp status/,
      /line 16: listen stats is left out/,
      /line 21: timeout connect is left out/,
      /line 22: \/readyz as the path of the checks is left out: kube-vrrp asks \/healthz for health/,
      /line 24: weight is left out/,
      /line 24: verify none is left out/,
      /line 24: inter, fall, rise are left out/,
    ])
      assert.match(text, expected);
  });

  test('the defaults that a section names hold for it, with those that they are built on', () => {
    const text = `defaults base\noption httpchk GET /livez\ndefaults k8s from base\nmode tcp\ndefaults web\noption httpchk GET /ping\n`;
    assert.equal(read(`${text}listen api from k8s\nbind :36443\n${SERVER}`).values['health.path'], '/livez');
    assert.equal(read(`${text}listen api\nbind :36443\n${SERVER}`).values['health.path'], '/ping');
    const backend = `frontend f\nbind :36443\ndefault_backend b\nbackend b from base\n${SERVER}`;
    assert.equal(read(text + backend).values['health.path'], '/livez');
  });

  test('another kind of check takes back one by HTTP that was inherited', () => {
    const inherited = 'defaults\noption httpchk GET /livez\n';
    for (const line of ['option ssl-hello-chk', 'option tcp-check', 'no option httpchk']) {
      const { values, findings } = read(`${inherited}${listen(`${line}\n${SERVER}`)}`);
      assert.equal(values['health.path'], undefined, line);
      if (!line.startsWith('no'))
        assert.match(findings.join('\n'), /option \S+ is left out: kube-vrrp asks GET/);
    }
  });

  test('quotes, families of addresses, templates of servers, and variables', () => {
    const quotedName = `frontend f\nbind ipv4@*:36443\ndefault_backend "api servers"\nbackend "api servers"\nserver a ipv4@10.0.0.1:6443 check\nserver b tcp6@[fd00::2]:6443 check\n`;
    const { values, findings } = read(quotedName);
    assert.deepEqual(values['peers'], ['10.0.0.1', 'fd00::2']);
    assert.equal(values['proxy.port'], 36_443);
    assert.deepEqual(findings, []);
    const template = read(listen('server-template cp 3 cp.example:6443 check resolvers dns'));
    assert.match(
      template.findings.join('\n'),
      /line 3: server-template cp\.example is left out: kube-vrrp asks no name server, so give/,
    );
    assert.equal(template.values['proxy.backendPort'], 6443);
    const variable = read(listen('server a "${CP1}:6443" check\nserver b unix@/run/x check'));
    assert.match(variable.findings.join('\n'), /line 3: server \$\{CP1\} is left out: variables/);
    assert.match(
      variable.findings.join('\n'),
      /line 4: server unix@\/run\/x is left out: it is no TCP address/,
    );
  });
});
