import assert from 'node:assert/strict';
import { suite, test } from 'node:test';

import { parseAllDocuments } from 'yaml';

import { parseConfig } from '../config/parse.ts';
import { API_VERSIONS, kubeadmConfig, type ApiVersion } from './kubeadm-config.ts';

const PEERS = ['192.168.100.1', '192.168.100.2', 'fd00::1'];

function textOf(env: Readonly<Record<string, string>>, version: ApiVersion = 'v1beta4'): string {
  const parsed = parseConfig({ file: null, env: { KUBE_VRRP_PEERS: PEERS.join(','), ...env }, flags: [] });
  assert.ok(parsed.ok);
  return kubeadmConfig(parsed.value, version);
}

function documentsOf(text: string): unknown[] {
  const [second, first] = (['1.2', '1.1'] as const).map((version) =>
    parseAllDocuments(text, { version }).map((document): unknown => {
      assert.deepEqual(document.errors, []);
      return document.toJS();
    }),
  );
  assert.deepEqual(first, second);
  return second ?? [];
}

function cluster(version: string, endpoint: string, sans: string[]): unknown {
  return {
    apiVersion: `kubeadm.k8s.io/${version}`,
    kind: 'ClusterConfiguration',
    controlPlaneEndpoint: endpoint,
    apiServer: { certSANs: [...sans, ...PEERS] },
  };
}

suite('the configuration of kubeadm', () => {
  test('differs between the API versions by its first line only', () => {
    for (const version of API_VERSIONS) {
      assert.deepEqual(documentsOf(textOf({ KUBE_VRRP_VIP: '192.168.100.10' }, version)), [
        cluster(version, '192.168.100.10:36443', ['192.168.100.10']),
      ]);
    }
  });

  test('the optional flag of the API server has the form of the version, once its comment is taken away', () => {
    const list = [{ name: 'goaway-chance', value: '0.001' }];
    const mapping = { 'goaway-chance': '0.001' };
    const extraArgs = { v1beta4: list, v1beta3: mapping, v1beta2: mapping };
    for (const version of API_VERSIONS) {
      const env = { KUBE_VRRP_VIP: '192.168.100.10', KUBE_VRRP_PROXY_BACKEND_PORT: '7443' };
      const text = textOf(env, version).replace(/^ {2}# extraArgs:\n(?: {2}# .*\n)+/m, (lines) =>
        lines.replaceAll(/^ {2}# /gm, '  '),
      );
      const [{ apiServer }] = documentsOf(text) as [{ apiServer: unknown }];
      assert.deepEqual(apiServer, { certSANs: ['192.168.100.10', ...PEERS], extraArgs: extraArgs[version] });
    }
  });

  test('has IPv6 in brackets where a port follows, and quoted where a shell reads it', () => {
    const text = textOf({ KUBE_VRRP_VIP: 'fd00:0::10', KUBE_VRRP_PROXY_PORT: '443' });
    assert.deepEqual(documentsOf(text), [cluster('v1beta4', '[fd00::10]:443', ['fd00::10'])]);
    assert.match(text, /^# {3}kubeadm join "\[fd00::10\]:443" --token TOKEN /m);
    assert.match(text, /--apiserver-advertise-address/);
    assert.match(text.replaceAll('\n# ', ' '), /with its own of fd00::1 as ADDRESS/);
    assert.match(text, /^# {3}echo KUBELET_EXTRA_ARGS=--node-ip=ADDRESS > \/etc\/default\/kubelet$/m);
  });

  test('dual stack: the first VIP is the endpoint, and both are in the certificate', () => {
    const text = textOf({ KUBE_VRRP_VIP: '192.168.100.10,2001:10:20:30:40:50:10:20' });
    const sans = ['192.168.100.10', '2001:10:20:30:40:50:10:20'];
    assert.deepEqual(documentsOf(text), [cluster('v1beta4', '192.168.100.10:36443', sans)]);
    assert.match(text, /Dual stack/);
    assert.match(text, /--node-ip=IPV4,IPV6/);
    assert.doesNotMatch(text, /--apiserver-advertise-address/);
  });

  test('has the commands to run, each on a line of its own', () => {
    const text = textOf({ KUBE_VRRP_VIP: '192.168.100.10' });
    assert.match(text, /^# {3}kubeadm init --config kubeadm\.yaml --upload-certs$/m);
    const join =
      'kubeadm join 192\\.168\\.100\\.10:36443 --token TOKEN --discovery-token-ca-cert-hash sha256:HASH';
    assert.match(text, new RegExp(`^# {3}${join} --control-plane --certificate-key KEY$`, 'm'));
    assert.match(text, new RegExp(`^# {3}${join}$`, 'm'));
  });

  test('the join ignores the check of an empty manifests folder where a kubeadm of that version may have it', () => {
    const ignore = '--ignore-preflight-errors=DirAvailable--etc-kubernetes-manifests';
    const has = API_VERSIONS.filter((version) =>
      textOf({ KUBE_VRRP_VIP: '192.168.100.10' }, version).includes(ignore),
    );
    assert.deepEqual(has, ['v1beta3', 'v1beta2']);
  });

  test('an API server on another port is told to kubeadm on every node', () => {
    const text = textOf({ KUBE_VRRP_VIP: '192.168.100.10', KUBE_VRRP_PROXY_BACKEND_PORT: '7443' }, 'v1beta3');
    assert.deepEqual(documentsOf(text), [
      cluster('v1beta3', '192.168.100.10:36443', ['192.168.100.10']),
      {
        apiVersion: 'kubeadm.k8s.io/v1beta3',
        kind: 'InitConfiguration',
        localAPIEndpoint: { bindPort: 7443 },
      },
    ]);
    assert.match(text, /--certificate-key KEY --apiserver-bind-port 7443\b/);
  });
});
