import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type CaCertificates,
  type Look,
  type Period,
  type Watched,
  caFile,
  clientCertFile,
  describeExpiry,
  describeNotInForce,
  describeWrong,
  recordLook,
} from './credentials.ts';

const DAY_MS = 24 * 3600 * 1000;
const NOW_MS = Date.UTC(2026, 0, 15);
const FILE = caFile('/ca.crt');

/** In force for this many days from `NOW_MS`; negative: over. */
function lasting(days: number): Period {
  return { fromMs: NOW_MS - 100 * DAY_MS, toMs: NOW_MS + days * DAY_MS };
}

function ca(pem: string, days = 365): CaCertificates {
  return { pem, periods: [lasting(days)] };
}

const found = (pem: string, days?: number): Look<CaCertificates> => ({ found: ca(pem, days) });
const wrong = (text: string): Look<CaCertificates> => ({ wrong: text });

/** What is in use in the end, and what was said after which look (from 0). */
function watch(inUse: CaCertificates, looks: readonly Look<CaCertificates>[]): [string, string[]] {
  let watched: Watched<CaCertificates> = { file: FILE, inUse, wrong: null, told: null };
  const told: string[] = [];
  for (const [index, look] of looks.entries()) {
    const { after, remark } = recordLook(watched, look, NOW_MS);
    watched = after;
    if (remark !== null) told.push(`${index} ${remark.level} ${remark.text}`);
  }
  return [watched.inUse.pem, told];
}

const HALF = '/ca.crt ends within a PEM block; health.caFile must be ...';
const HALF_TOLD = `warn ${HALF}; until then the checks use what was read before`;
const AGAIN = 'info health.caFile /ca.crt is again what the checks use';

test('other content is taken, and said once; the same content is not worth a word', () => {
  const [inUse, told] = watch(ca('old'), [found('old'), found('new'), found('new')]);
  assert.equal(inUse, 'new');
  assert.deepEqual(told, [
    '1 info health.caFile /ca.crt has changed: the checks use the new one, which expires on 2027-01-15T00:00:00.000Z',
  ]);
});

test('a file that is wrong in one look only, as one that is being written, is not worth a word', () => {
  assert.deepEqual(watch(ca('old'), [wrong(HALF), found('old'), wrong(HALF), found('old')]), ['old', []]);
  const [inUse, told] = watch(ca('old'), [wrong(HALF), found('new')]);
  assert.equal(inUse, 'new');
  assert.equal(told.length, 1);
});

test('a file that stays wrong keeps what is in use, and is told once, and once again when it is good', () => {
  const looks = [wrong(HALF), wrong(HALF), wrong(HALF), wrong(HALF), found('old'), found('old')];
  assert.deepEqual(watch(ca('old'), looks), ['old', [`1 ${HALF_TOLD}`, `4 ${AGAIN}`]]);
});

test('another wrong that lasts is told too; wrongs that take turns are not', () => {
  const gone = wrong('/ca.crt does not exist; ...');
  const [, told] = watch(ca('old'), [wrong(HALF), wrong(HALF), gone, gone, gone]);
  assert.deepEqual(
    told.map((line) => line.slice(0, 26)),
    ['1 warn /ca.crt ends within', '3 warn /ca.crt does not ex'],
  );
  assert.deepEqual(watch(ca('old'), [wrong(HALF), gone, wrong(HALF), gone])[1], []);
});

test('other content that is over, or has not begun, is not taken', () => {
  const [inUse, told] = watch(ca('old'), [found('new', -1), found('new', -1), found('new', -1)]);
  assert.equal(inUse, 'old');
  assert.deepEqual(told, [
    "1 warn /ca.crt expired on 2026-01-14T00:00:00.000Z; health.caFile must be the cluster's CA certificate; until then the checks use what was read before",
  ]);
  const future = { pem: 'new', periods: [{ fromMs: NOW_MS + DAY_MS, toMs: NOW_MS + 2 * DAY_MS }] };
  assert.equal(watch(ca('old'), [{ found: future }])[0], 'old');
});

test('what is in use and has expired stays without a remark: the expiry has lines of its own', () => {
  assert.deepEqual(watch(ca('old', -1), [found('old', -1), found('old', -1)]), ['old', []]);
});

test('one certificate in force is enough', () => {
  assert.equal(describeNotInForce([lasting(-1), lasting(1)], NOW_MS), null);
  assert.equal(describeNotInForce([lasting(-1), lasting(-2)], NOW_MS), 'expired on 2026-01-14T00:00:00.000Z');
  const next = { fromMs: NOW_MS + DAY_MS, toMs: NOW_MS + 9 * DAY_MS };
  assert.equal(
    describeNotInForce([lasting(-1), next], NOW_MS),
    "is not valid before 2026-01-16T00:00:00.000Z; compare this node's clock",
  );
});

test('the end is told from 30 days before it on, and is that of the last certificate', () => {
  assert.equal(describeExpiry(FILE, ca('x', 31), NOW_MS), null);
  assert.equal(describeExpiry(FILE, { periods: [lasting(-1), lasting(31)] }, NOW_MS), null);
  assert.equal(
    describeExpiry(FILE, ca('x', 30), NOW_MS),
    "health.caFile /ca.crt expires on 2026-02-14T00:00:00.000Z: add the cluster's next CA certificate to it; the checks then use it without a restart",
  );
  assert.equal(
    describeExpiry(clientCertFile('/c.crt'), ca('x', -1), NOW_MS),
    'health.clientCertFile /c.crt has expired on 2026-01-14T00:00:00.000Z: renew it, with "kubeadm certs renew" if kubeadm made it; the checks then use it without a restart',
  );
});

test('a wrong names the file it is in', () => {
  const file = clientCertFile('/c.crt');
  assert.match(describeWrong(file, 'is bad'), /^\/c\.crt is bad; health\.clientCertFile and /);
  assert.match(describeWrong(file, 'is bad', '/c.key'), /^\/c\.key is bad; /);
});
