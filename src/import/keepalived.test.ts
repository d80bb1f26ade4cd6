import assert from 'node:assert/strict';
import { suite, test } from 'node:test';

import { readBy } from '../testing/imported.ts';
import { importKeepalived } from './keepalived.ts';

/** As kubeadm's guide to highly available clusters has it. */
const GUIDE = `global_defs {
    router_id LVS_DEVEL
}
vrrp_script check_apiserver {
  script "/etc/keepalived/check_apiserver.sh"
  interval 3
  weight -2
  fall 10
  rise 2
}

vrrp_instance VI_1 {
    state MASTER
    interface eth0
    virtual_router_id 52
    priority 101
    authentication {
        auth_type PASS
        auth_pass 42
    }
    virtual_ipaddress {
        192.168.100.10
    }
    track_script {
        check_apiserver
    }
}
`;

const read = readBy(importKeepalived, 'k.conf');

const instance = (body: string, name = 'V'): string => `vrrp_instance ${name} {\n${body}\n}\n`;
const one = (body: string): string =>
  instance(`virtual_router_id 7\nvirtual_ipaddress {\n10.0.0.9/24\n}\n${body}`);

suite('from keepalived', () => {
  test("kubeadm's guide: version 2, one second, its password, and what is left out", () => {
    const { values, findings } = read(GUIDE);
    assert.deepEqual(values, {
      vip: '192.168.100.10',
      'vrrp.vrid': 52,
      interface: 'eth0',
      'vrrp.version': 2,
      'vrrp.advertisementInterval': '1s',
      'vrrp.authPass': '42',
    });
    assert.deepEqual(
      findings.map((line) => line.split(' is left out')[0]),
      [
        'k.conf line 2: router_id',
        'k.conf line 4: vrrp_script check_apiserver',
        'k.conf line 13: state',
        'k.conf line 16: priority',
        'k.conf line 24: track_script',
      ],
    );
  });

  test('each value knows its line', () => {
    const { values } = importKeepalived({ name: 'k.conf', text: GUIDE });
    assert.equal(values.get('vip')?.where, 'k.conf line 22');
    assert.equal(values.get('vrrp.vrid')?.where, 'k.conf line 15');
  });

  test('version 3 by vrrp_version or by the instance, with fractions of a second', () => {
    const global = read(`global_defs {\nvrrp_version 3\n}\n${one('advert_int 0.1')}`).values;
    assert.equal(global['vrrp.version'], 3);
    assert.equal(global['vrrp.advertisementInterval'], '100ms');
    assert.equal(read(one('version 3')).values['vrrp.version'], 3);
  });

  test('an IPv6 VIP is version 3 whatever is set, and its link-local address is no VIP', () => {
    const { values } = read(instance('virtual_ipaddress {\nfe80::9\nfd00::9/64\n}'));
    assert.equal(values['vip'], 'fd00::9');
    assert.equal(values['vrrp.version'], 3);
  });

  test('a password in version 3 is left out, and one that is too long is what keepalived sends of it', () => {
    const password = (text: string): string => `authentication {\nauth_type PASS\nauth_pass ${text}\n}`;
    assert.equal(read(one(password('123456789'))).values['vrrp.authPass'], '12345678');
    const { values, findings } = read(one(`version 3\n${password('42')}`));
    assert.equal(values['vrrp.authPass'], undefined);
    assert.match(findings.join('\n'), /line 7: authentication is left out/);
  });

  test('auth_type AH has no counterpart', () => {
    const { values, findings } = read(one('authentication {\nauth_type AH\nauth_pass 42\n}'));
    assert.equal(values['vrrp.authPass'], undefined);
    assert.match(findings.join('\n'), /auth_type AH is left out/);
  });

  test('unicast peers, and this node by unicast_src_ip', () => {
    const { values } = read(one('unicast_src_ip 10.0.0.2\nunicast_peer {\n10.0.0.1\n10.0.0.3\n}'));
    assert.equal(values['vrrp.transport'], 'unicast');
    assert.deepEqual(values['peers'], ['10.0.0.2', '10.0.0.1', '10.0.0.3']);
  });

  test('without unicast_src_ip it says that this node is missing', () => {
    assert.match(
      read(one('unicast_peer {\n10.0.0.1\n}')).findings.join('\n'),
      /add this node's own address to peers/,
    );
  });

  test('further addresses of one virtual router, and another interface for the VIP, are named', () => {
    const { values, findings } = read(instance('virtual_ipaddress {\n10.0.0.9/24 dev eth1\n10.0.0.8\n}'));
    assert.equal(values['vip'], '10.0.0.9');
    assert.match(findings.join('\n'), /k\.conf line 3: dev eth1 is left out/);
    assert.match(findings.join('\n'), /k\.conf line 4: 10\.0\.0\.8 is left out/);
  });

  test('what the VIP has beside its address, mails and announcements: each is said', () => {
    const addresses = 'virtual_ipaddress {\n10.0.0.9/24 brd 10.0.0.255 dev eth0 label eth0:vip\n}';
    const body = `interface eth0\n${addresses}\nsmtp_alert\ngarp_master_delay 1`;
    const { values, findings } = read(`vrrp_script a {\nscript b\n}\n${instance(body)}`);
    assert.equal(values['vip'], '10.0.0.9');
    const text = findings.join('\n');
    assert.match(text, /line 1: vrrp_script a is left out/);
    assert.match(text, /line 7: \/24 is left out: kube-vrrp adds the VIP by itself, as \/32/);
    assert.match(text, /line 7: brd 10\.0\.0\.255 label eth0:vip is left out/);
    assert.match(text, /line 9: smtp_alert is left out: kube-vrrp sends no mail/);
    assert.match(text, /line 10: garp_master_delay is left out/);
    assert.doesNotMatch(read(instance('virtual_ipaddress {\n10.0.0.9/32\n}')).findings.join('\n'), /\/32/);
  });

  test('an IPv4 and an IPv6 instance of one VRID are two VIPs, of version 3', () => {
    const text =
      instance('virtual_router_id 7\nvirtual_ipaddress {\n10.0.0.9\n}', 'A') +
      instance('virtual_router_id 7\nvirtual_ipaddress {\nfd00::9\n}', 'B');
    const { values, findings } = read(text);
    assert.deepEqual(values['vip'], ['10.0.0.9', 'fd00::9']);
    assert.equal(values['vrrp.version'], 3);
    assert.match(findings.join('\n'), /the IPv4 VIP gets version 3/);
  });

  test('several instances otherwise: nothing is guessed', () => {
    const text =
      instance('virtual_ipaddress {\n10.0.0.9\n}', 'A') + instance('virtual_ipaddress {\n10.0.0.8\n}', 'B');
    const { values, findings } = read(text);
    assert.deepEqual(values, {});
    assert.match(findings.join('\n'), /has the instances A, B/);
  });

  test('no instance, an include, a condition, a definition: said', () => {
    const { values, findings } = read(
      'include other.conf\n@host priority 5\n$VIP=10.0.0.9\nvirtual_server 10.0.0.9 80 {\n}',
    );
    assert.deepEqual(values, {});
    assert.deepEqual(
      findings.map((line) => line.split(':')[0]),
      ['k.conf', 'k.conf line 1', 'k.conf line 2', 'k.conf line 3', 'k.conf line 4'],
    );
  });

  test('a password is sent with auth_type PASS alone, not in strict mode, and may have escaped signs', () => {
    const block = (type: string): string => `authentication {\n${type}\nauth_pass Pa\\!s1\n}`;
    assert.equal(read(one(block('auth_type PASS'))).values['vrrp.authPass'], 'Pa!s1');
    for (const text of [
      one(block('')),
      one(block('auth_type pass')),
      `global_defs {\nvrrp_strict\n}\n${one(block('auth_type PASS'))}`,
    ]) {
      const { values, findings } = read(text);
      assert.equal(values['vrrp.authPass'], undefined);
      assert.match(findings.join('\n'), /authentication is left out/);
    }
  });

  test('IPv6 unicast whose hop limit is not 255 is not heard, and it says so', () => {
    const body = (more: string): string =>
      instance(
        `virtual_router_id 7\nvirtual_ipaddress {\nfd00::9\n}\nunicast_src_ip fd00::1\nunicast_peer {\nfd00::2\n}\n${more}`,
      );
    assert.match(read(body('')).findings.join('\n'), /set unicast_ttl 255/);
    assert.deepEqual(read(body('unicast_ttl 255')).findings, []);
  });

  test('two blocks of one keyword are one list, and of two values the last counts', () => {
    const { values, findings } = read(one('advert_int 2\nadvert_int 3\nvirtual_ipaddress {\n10.0.0.8\n}'));
    assert.equal(values['vrrp.advertisementInterval'], '3s');
    assert.match(findings.join('\n'), /10\.0\.0\.8 is left out/);
  });

  test('a pair that differs in more than its addresses is two routers', () => {
    const text =
      instance('virtual_router_id 7\nadvert_int 1\nvirtual_ipaddress {\n10.0.0.9\n}', 'A') +
      instance('virtual_router_id 7\nadvert_int 3\nvirtual_ipaddress {\nfd00::9\n}', 'B');
    assert.deepEqual(read(text).values, {});
  });

  test('definitions and conditions count at no depth', () => {
    const { values, findings } = read(one('interface $IF\n@node1 unicast_src_ip 10.0.0.1'));
    assert.equal(values['interface'], undefined);
    assert.match(findings.join('\n'), /line 6: definitions/);
    assert.match(findings.join('\n'), /line 7: lines with a condition/);
  });

  test('a VRID that is missing, another multicast group, another interface that is tracked: said', () => {
    const body = 'virtual_ipaddress {\n10.0.0.9\n}\ntrack_interface {\neth1\n}';
    const findings = read(`global_defs {\nvrrp_mcast_group4 224.0.0.19\n}\n${instance(body)}`).findings.join(
      '\n',
    );
    assert.match(findings, /line 2: vrrp_mcast_group4 is left out/);
    assert.match(findings, /line 4: virtual_router_id is missing, so vrrp\.vrid is 51/);
    assert.match(findings, /line 8: track_interface is left out/);
  });

  test('what has nothing that corresponds to it is named', () => {
    const findings = read(one('notify_master "/bin/a b"\nmcast_src_ip 10.0.0.1')).findings.join('\n');
    assert.match(findings, /line 6: notify_master is left out: kube-vrrp starts no programs/);
    assert.match(findings, /line 7: mcast_src_ip is left out/);
  });
});
