import assert from 'node:assert/strict';
import { suite, test } from 'node:test';

import { readBy } from '../testing/imported.ts';
import { importKubeVip } from './kube-vip.ts';

const env = (variables: Record<string, string>): string =>
  Object.entries(variables)
    .map(([name, value]) => `    - name: ${name}\n      value: "${value}"`)
    .join('\n');

const pod = (variables: Record<string, string>): string => `apiVersion: v1
kind: Pod
metadata:
  name: kube-vip
  namespace: kube-system
spec:
  containers:
  - args:
    - manager
    env:
${env(variables)}
    image: kube-vip
    name: kube-vip
  hostNetwork: true
`;

const read = readBy(importKubeVip, 'v.yaml');

suite('from kube-vip', () => {
  test('the VIP and the interface; the port of the endpoint is another one from now on', () => {
    const text = pod({ vip_arp: 'true', port: '6443', vip_interface: 'eth0', address: '192.168.100.10' });
    const { values, findings } = read(text);
    assert.deepEqual(values, { vip: '192.168.100.10', interface: 'eth0' });
    assert.equal(findings.length, 1);
    assert.match(findings[0] ?? '', /^v\.yaml line 14: the endpoint's port changes/);
  });

  test('a DaemonSet, and the old name of the address', () => {
    const text = `kind: DaemonSet\nspec:\n  template:\n    spec:\n      containers:\n      - env:\n        - name: vip_address\n          value: 10.0.0.9\n`;
    assert.equal(read(text).values['vip'], '10.0.0.9');
  });

  test('another port of the API servers', () => {
    assert.equal(read(pod({ address: '10.0.0.9', port: '7443' })).values['proxy.backendPort'], 7443);
  });

  test('an address with its prefix length, two of them, and what else is set', () => {
    const one = read(pod({ address: '10.0.0.9/32', vip_subnet: '32' }));
    assert.deepEqual(one, { values: { vip: '10.0.0.9' }, findings: [] });
    const wide = read(pod({ address: '10.0.0.9/24' }));
    assert.equal(wide.values['vip'], '10.0.0.9');
    assert.match(wide.findings.join('\n'), /\/24 is left out: kube-vrrp adds the VIP by itself, as \/32/);
    const two = read(pod({ address: '10.0.0.9, fd00::9', vip_subnet: '32,128' }));
    assert.deepEqual(two, { values: { vip: ['10.0.0.9', 'fd00::9'] }, findings: [] });
    const more = read(
      pod({
        address: '10.0.0.9',
        vip_leaderelection: 'true',
        vip_leaseduration: '5',
        prometheus_server: ':2112',
      }),
    ).findings.join('\n');
    assert.match(more, /vip_leaderelection, vip_leaseduration are left out: kube-vrrp elects/);
    assert.match(more, /prometheus_server is left out/);
  });

  test('a name as address, Services and BGP are said', () => {
    const { values, findings } = read(
      pod({ address: 'vip.example', svc_enable: 'true', bgp_enable: 'true', cp_enable: 'true' }),
    );
    assert.deepEqual(values, {});
    assert.match(findings.join('\n'), /address vip\.example is left out/);
    assert.match(findings.join('\n'), /svc_enable is left out/);
    assert.match(findings.join('\n'), /bgp_enable is left out/);
  });

  test('what is off is not spoken of', () => {
    assert.deepEqual(read(pod({ address: '10.0.0.9', svc_enable: 'false' })).findings, []);
  });

  test('another pod, or no YAML', () => {
    assert.match(read('kind: Pod\nspec: { containers: [] }').findings.join('\n'), /has no variable address/);
    assert.match(read('a: [').findings.join('\n'), /is no YAML/);
  });
});
