import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { isNode, listeningPorts, type Running, startKubeVrrpOn } from '../testing/own-network.ts';
import { until } from '../testing/until.ts';
import { DEADLINE_MS, endWith, NETWORK, startDaemon } from '../testing/waiting-daemon.ts';

const ADMIN_PORT = 10_480;

/** Whether Node blocks or handles SIGUSR1 already: before, it ends every program (proc_pid_status(5)). */
function mindsSigusr1({ pid }: Running): boolean {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const masks = [...status.matchAll(/^Sig(?:Blk|Cgt):\s*([0-9a-f]+)$/gmu)].map(([, mask]) =>
    Number.parseInt((mask ?? '').slice(-3), 16),
  );
  return masks.some((mask) => (mask & 0x200) !== 0);
}

for (const flags of [[], ['--disable-sigusr1']]) {
  const start = ['node', ...flags, 'main.js', 'run'].join(' ');
  test(`SIGUSR1 opens no debugger and logs the state: ${start}`, async (context) => {
    const { daemon, lines, logged, describe } = startDaemon(context, flags);
    await logged('waiting');
    for (let count = 0; count < 3; count += 1) daemon.kill('SIGUSR1');
    await logged('state');
    const { msg } = lines.find(({ event }) => event === 'state') ?? assert.fail();
    assert.match(msg, /^state: waiting for the certificates of health: .*; health class C; 0 clients$/u);
    assert.deepEqual(listeningPorts(daemon.pid), [ADMIN_PORT], describe());
  });

  test(`SIGUSR1 during the start leaves no debugger open: ${start}`, async (context) => {
    const { daemon, lines, describe } = startDaemon(context, flags);
    await until(() => isNode(daemon) && mindsSigusr1(daemon), 'Node to begin', DEADLINE_MS);
    const isWaiting = (): boolean => {
      daemon.kill('SIGUSR1');
      return lines.some(({ event }) => event === 'waiting');
    };
    await until(isWaiting, describe, DEADLINE_MS);
    const isClosed = (): boolean => String(listeningPorts(daemon.pid)) === String(ADMIN_PORT);
    await until(isClosed, describe, DEADLINE_MS);
  });
}

/** All that would end a process, but those of a defect, and KILL and STOP. */
const UNHEEDED = ['SIGUSR2', 'SIGPIPE', 'SIGALRM', 'SIGVTALRM', 'SIGPROF', 'SIGIO', 'SIGSTKFLT', 'SIGXFSZ'];
const SIGRTMIN = 34;
const SIGRTMAX = 64;

test('no signal but those that stop it ends the daemon, and those that Node can take are a line', async (context) => {
  const { daemon, lines, logged, describe } = startDaemon(context);
  await logged('waiting');
  for (const signal of UNHEEDED) daemon.kill(signal as NodeJS.Signals);
  // Node does not send them.
  const sendAll = `for signal in $(seq ${SIGRTMIN} ${SIGRTMAX}); do kill -$signal ${daemon.pid}; done`;
  execFileSync('sh', ['-c', sendAll]);
  daemon.kill('SIGUSR1');
  await logged('state');
  assert.equal(daemon.exitCode, null, describe());
  const said = lines.filter(({ event }) => event === 'signal').map(({ msg }) => msg.split(' ')[0]);
  const silent = new Set(['SIGPIPE', 'SIGXFSZ']);
  assert.deepEqual(new Set(said), new Set(UNHEEDED.filter((signal) => !silent.has(signal))));
});

for (const signal of ['SIGTERM', 'SIGINT', 'SIGQUIT', 'SIGABRT', 'SIGPWR', 'SIGXCPU'] as const) {
  test(`${signal} stops it in order, with a line and code 0`, async (context) => {
    const { daemon, lines, logged, describe } = startDaemon(context);
    await logged('waiting');
    const ended = once(daemon, 'exit');
    daemon.kill(signal);
    assert.deepEqual(await ended, [0, null], describe());
    assert.ok(
      lines.some(({ msg }) => msg === `stopping: ${signal}`),
      describe(),
    );
  });
}

test('SIGHUP reads the configuration again: the log level is used, and all else named that needs a restart', async (context) => {
  const { daemon, lines, logged, config } = startDaemon(context);
  await logged('waiting');
  const answers = (): string[] => lines.filter(({ event }) => event === 'reload').map(({ msg }) => msg);
  const reload = async (text: string): Promise<string> => {
    writeFileSync(config, text);
    const before = answers().length;
    daemon.kill('SIGHUP');
    await until(() => answers().length > before, 'the answer', DEADLINE_MS);
    return answers().at(-1) ?? '';
  };
  const certificates = 'no certificates are in use yet';
  assert.equal(
    await reload('log: {level: error}\nvrrp: {vrid: 52}\n'),
    `SIGHUP: log.level is error now; vrrp.vrid changed and needs a restart; ${certificates}`,
  );
  assert.match(
    await reload('log: {level: shout}\n'),
    /^SIGHUP: the configuration cannot be used, so the one before stays in use: .*log\.level/u,
  );
  assert.equal(lines.at(-1)?.level, 'info', 'the level of the configuration in use');
  assert.equal(await reload('{}\n'), `SIGHUP: the configuration has not changed; ${certificates}`);
});

test('SIGUSR1 opens no debugger in a command that is not the daemon', async (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'kube-vrrp-signals-'));
  const config = join(folder, 'config.yaml');
  execFileSync('mkfifo', [config]);
  const command = startKubeVrrpOn(NETWORK, ['status', '--config', config]);
  endWith(context, command, folder);
  // Opens when the other end reads: the command is at work, and waits for its configuration.
  const writer = await open(config, 'w');
  for (let count = 0; count < 3; count += 1) command.kill('SIGUSR1');
  assert.deepEqual(listeningPorts(command.pid), []);
  const complaint = once(command.stderr, 'data');
  await writer.write('admin: {socket: /nowhere, address: ""}\n');
  await writer.close();
  assert.match(String(await complaint), /^kube-vrrp status: nothing answers at \/nowhere/u);
});
