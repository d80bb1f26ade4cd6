import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeFailure, describeTimeout, judgeStatus } from './detail.ts';

test('a 2xx answer is healthy', () => {
  assert.deepEqual(judgeStatus(200), { ok: true, refused: false, unverified: false, detail: '200' });
  assert.deepEqual(judgeStatus(204), { ok: true, refused: false, unverified: false, detail: '204' });
});

test('401 and 403 come from a server that lives: ok, but misconfigured', () => {
  for (const status of [401, 403]) {
    assert.deepEqual(judgeStatus(status), {
      ok: true,
      refused: true,
      unverified: false,
      detail: `status ${status}`,
    });
  }
});

test("every other answer is a failure that names the status; below 500 it says nothing of the server's health", () => {
  for (const status of [301, 302, 400, 404, 429, 500, 503]) {
    const unverified = status < 500;
    assert.deepEqual(judgeStatus(status), {
      ok: false,
      refused: false,
      unverified,
      detail: `status ${status}`,
    });
  }
});

test('what cannot be provoked on loopback has plain words too', () => {
  const words = (code: string): string => describeFailure(code, 'connect', '192.0.2.1');
  assert.equal(words('EHOSTUNREACH'), 'host unreachable');
  assert.equal(words('ENETUNREACH'), 'network unreachable');
  assert.equal(words('ETIMEDOUT'), 'timeout while connecting');
  assert.equal(words('CERT_NOT_YET_VALID'), "certificate is not valid yet (compare the nodes' clocks)");
  // The same CA name with another key, where the certificate does not name the key.
  assert.equal(words('CERT_SIGNATURE_FAILURE'), 'certificate is not signed by the CA in caFile');
});

test('an unforeseen code is shown with how far the check had come', () => {
  assert.equal(describeFailure('EPROTO', 'handshake', '192.0.2.1'), 'failed in the TLS handshake (EPROTO)');
});

test('a timeout says how far the check had come', () => {
  assert.equal(describeTimeout(2000, 'answer'), 'timeout after 2000 ms waiting for the answer');
});
