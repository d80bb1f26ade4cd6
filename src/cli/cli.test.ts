/** The command line as people use it: real processes, their output and their exit codes. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text as textOf } from 'node:stream/consumers';
import { after, before, suite, test } from 'node:test';

import { CONFIG_FIELDS } from '../config/schema.ts';
import type { Status } from '../daemon/status.ts';
import { kubeVrrp as cli, MAIN, type Outcome } from '../testing/command.ts';
import { COMMANDS } from './commands.ts';
import { commandHelp } from './help.ts';

function assertNoStack({ stdout, stderr }: Outcome): void {
  assert.doesNotMatch(stdout + stderr, /^\s+at |node:internal/m);
}

let folder = '';

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kube-vrrp-cli-'));
});

after(async () => {
  await rm(folder, { recursive: true });
});

async function inFolder(name: string, text: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, text);
  return path;
}

/** Serves on a loopback port or a unix socket for as long as `use` takes. */
async function serve<Value>(
  listener: RequestListener,
  where: { path: string } | null,
  use: (address: string) => Promise<Value>,
): Promise<Value> {
  const server = createServer(listener);
  server.listen(where ?? { host: '127.0.0.1', port: 0 });
  await once(server, 'listening');
  const address = server.address();
  try {
    return await use(
      typeof address === 'object' && address !== null ? `127.0.0.1:${address.port}` : (address ?? ''),
    );
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

const STATUS: Status = {
  version: '1.2.3',
  node: 'cp-1',
  pid: 77,
  uptimeSeconds: 3725,
  interface: 'eth0',
  waitingFor: null,
  class: 'A',
  drained: false,
  virtualRouters: [
    {
      vrid: 51,
      family: 'IPv4',
      version: 3,
      vip: '10.0.0.10',
      state: 'Active',
      bound: true,
      priority: 254,
      sinceIso: new Date().toISOString(),
      cause: 'no Active heard for 376 ms',
      active: null,
    },
  ],
  backends: [
    { id: '10.0.0.1:6443', local: true, state: 'up', detail: '200', misconfigured: false, connections: 3 },
  ],
  clients: 3,
};

function movedTo(address: string): Status {
  const [router] = STATUS.virtualRouters;
  assert.ok(router);
  const moved = { ...router, state: 'Backup' as const, bound: false, active: { address, priority: 9 } };
  return { ...STATUS, virtualRouters: [moved] };
}

suite('kube-vrrp', { concurrency: 3 }, () => {
  suite('help', () => {
    test('without a command, help goes to standard error and the exit code is 2', async () => {
      const { code, stdout, stderr } = await cli([]);
      assert.deepEqual([code, stdout], [2, '']);
      assert.match(stderr, /^Usage: kube-vrrp COMMAND/m);
    });

    test('--help, -h and help are the same and name every command', async () => {
      const [long, short, word] = await Promise.all([cli(['--help']), cli(['-h']), cli(['help'])]);
      assert.equal(long.code, 0);
      assert.deepEqual(short, long);
      assert.deepEqual(word, long);
      for (const name of Object.keys(COMMANDS)) assert.match(long.stdout, new RegExp(`^  ${name} +\\w`, 'm'));
    });

    test('config prints what it runs with, the reference and the schema, one at a time', async () => {
      const [printed, reference, schema, both] = await Promise.all([
        cli(['config', '--peers', '10.0.0.1'], { KUBE_VRRP_VIP: '10.0.0.10' }),
        cli(['config', '--reference']),
        cli(['config', '--schema']),
        cli(['config', '--reference', '--schema']),
      ]);
      assert.match(printed.stdout, /^# env KUBE_VRRP_VIP\nvip:\n {2}- 10\.0\.0\.10\n# flag --peers\npeers:/m);
      assert.match(reference.stdout, /^# Configuration\n/);
      assert.equal((JSON.parse(schema.stdout) as { title: string }).title, 'kube-vrrp configuration');
      assert.deepEqual([both.code, both.stdout], [2, '']);
    });

    test('help behind a command is its help', async () => {
      const [word, flag] = await Promise.all([cli(['check', 'help']), cli(['check', '--help'])]);
      assert.deepEqual(word, flag);
      assert.equal(word.code, 0);
    });

    test('every command has help with an example, whatever else is given', async () => {
      const { code, stdout } = await cli(['check', '--vrrp-vrid', '--help']);
      assert.deepEqual([code, stdout], [0, `${commandHelp(COMMANDS.check)}\n`]);
      for (const spec of Object.values(COMMANDS)) {
        const text = commandHelp(spec);
        assert.match(text, new RegExp(`^Examples?:\\n {2}kube-vrrp ${spec.name}\\b`, 'm'), spec.name);
        const widest = Math.max(...text.split('\n').map((line) => line.length));
        assert.ok(widest <= 120, spec.name);
      }
    });

    test('what is asked of a running node is shown as it is asked in its pod', async () => {
      const { stdout } = await cli(['drain', '--help']);
      assert.match(stdout, /^ {2}kubectl -n kube-system exec kube-vrrp-NODE -- kube-vrrp drain /m);
      assert.doesNotMatch(commandHelp(COMMANDS.manifest), /kubectl/);
    });

    test('run --help has every configuration flag', async () => {
      const { stdout } = await cli(['help', 'run']);
      for (const { flag } of CONFIG_FIELDS) assert.ok(stdout.includes(`  --${flag}\n`), flag);
    });

    test('a mistyped command gets a suggestion', async () => {
      const outcome = await cli(['chekc', '--config', 'x']);
      assert.equal(outcome.code, 2);
      assert.equal(outcome.stderr, 'kube-vrrp: "chekc": there is no such command; did you mean check?\n');
      const flagFirst = await cli(['--config', 'x', 'run']);
      assert.equal(flagFirst.code, 2);
      assert.match(
        flagFirst.stderr,
        /^kube-vrrp: "--config": a command has to come before flags; the commands are run, /,
      );
    });

    test('version tells ours and that of Node', async () => {
      const [word, flag, letter, json] = await Promise.all([
        cli(['version']),
        cli(['--version']),
        cli(['-V']),
        cli(['version', '--json']),
      ]);
      assert.deepEqual([flag, letter], [word, word]);
      assert.deepEqual(Object.keys(JSON.parse(json.stdout) as object), ['version', 'nodejs', 'arch']);
      assert.equal(word.code, 0);
      assert.match(word.stdout, /^kube-vrrp \d+\.\d+\.\d+ \(Node \d+\.\d+\.\d+\)\n$/);
      assert.equal((await cli(['version', '--jsn'])).code, 2);
    });
  });

  suite('usage and configuration', () => {
    test('one mistake is one problem', async () => {
      const cases: [readonly string[], RegExp][] = [
        [['--vip', '10.0.0.8', '--vip', '10.0.0.9'], /^ {2}--vip = "10\.0\.0\.9": given twice/m],
        [['--vip'], /^ {2}--vip: expected a value after it/m],
        [['--vipp', '10.0.0.9'], /^ {2}--vipp: unknown flag; did you mean --vip\?/m],
      ];
      for (const [args, expected] of cases) {
        const { code, stderr } = await cli(['run', '--peers', '10.0.0.1', ...args]);
        assert.equal(code, 2);
        assert.match(stderr, /^kube-vrrp run: one problem in/, args.join(' '));
        assert.match(stderr, expected);
      }
    });

    test('--config - reads standard input, for run as well, which reads it in a thread', async () => {
      for (const command of ['manifest', 'run']) {
        const child = spawn(process.execPath, [MAIN, command, '--config', '-'], { stdio: 'pipe' });
        const [ended, stderr] = [once(child, 'exit'), textOf(child.stderr)];
        child.stdout.resume();
        child.stdin.end('vip: 10.0.0.9\npeers: [10.0.0.9]\n');
        assert.deepEqual(await ended, [2, null]);
        assert.match(await stderr, /^ {2}peers\[0\] = .* \(standard input line 2\)$/m);
      }
    });

    test('run tells everything that is wrong with file, variables and flags at once, without a stack', async () => {
      const path = await inFolder(
        'bad.yaml',
        'vip: 10.0.0.1\npeers: [10.0.0.1]\nvrpp: { vrid: 1 }\nproxy: { port: 0 }\n',
      );
      const args = [
        'run',
        '--config',
        path,
        '--vrrp-vrid',
        '999',
        '--color',
        'blue',
        'extra',
        '--log-level',
        '--json',
        '-x',
      ];
      const outcome = await cli(args, { KUBE_VRRP_HEALTH_FALL: 'never' });
      assertNoStack(outcome);
      assert.deepEqual([outcome.code, outcome.stdout], [2, '']);
      assert.deepEqual(outcome.stderr.split('\n'), [
        'kube-vrrp run: 10 problems in the configuration or the arguments:',
        '  "extra": unexpected argument; flags start with --',
        '  -x: unknown flag; flags start with --',
        '  --color: unknown flag; --help lists those there are',
        '  --log-level: expected a value after it',
        '  --json: unknown flag; --help lists those there are',
        `  vrpp = {"vrid":1}: unknown key; did you mean vrrp? (${path} line 3)`,
        '  vrrp.vrid = 999: expected a whole number from 1 to 255 (flag --vrrp-vrid)',
        `  proxy.port = 0: expected a whole number from 1 to 65535 (${path} line 4)`,
        '  health.fall = "never": expected a whole number from 1 to 100 (env KUBE_VRRP_HEALTH_FALL)',
        `  peers[0] = "10.0.0.1": expected the address of a node; this is the VIP, which belongs to no node (${path} line 2)`,
        '"kube-vrrp run --help" lists what can be given.',
        '',
      ]);
    });

    test('a file that cannot be read is one sentence', async () => {
      const [missing, isFolder, byVariable] = await Promise.all([
        cli(['run', '--config', join(folder, 'missing.yaml')]),
        cli(['check', '--config', folder]),
        cli(['run'], { KUBE_VRRP_CONFIG: '/nowhere/x.yaml' }),
      ]);
      assert.match(missing.stderr, /\n {2}--config = ".*missing\.yaml": cannot be read: no such file\n/);
      assert.match(isFolder.stderr, /\n {2}--config = ".*": cannot be read: it is a directory\n/);
      assert.match(
        byVariable.stderr,
        /\n {2}KUBE_VRRP_CONFIG = "\/nowhere\/x\.yaml": cannot be read: no such file\n/,
      );
      for (const outcome of [missing, isFolder, byVariable]) {
        assert.equal(outcome.code, 2);
        assertNoStack(outcome);
      }
    });

    test('check --json tells problems of the configuration in its own form', async () => {
      const outcome = await cli(['check', '--json', '--vip', 'x', '--peers', '10.0.0.1']);
      assert.deepEqual([outcome.code, outcome.stderr], [2, '']);
      const { ok, checks } = JSON.parse(outcome.stdout) as {
        ok: boolean;
        checks: { name: string; level: string }[];
      };
      assert.equal(ok, false);
      assert.deepEqual(
        checks.map(({ name, level }) => [name, level]),
        [['config', 'fail']],
      );
    });

    test('flags take their value after a space or =, and given twice are refused', async () => {
      const outcome = await cli([
        'drain',
        '--admin-socket=relative',
        '--timeout=1s',
        '--timeout',
        '2s',
        '--force=yes',
      ]);
      assert.deepEqual(outcome.stderr.split('\n').slice(1, 4), [
        '  --force = "yes": takes no value',
        '  --timeout = "2s": given twice; write a list with commas, and anything else once',
        '  admin.socket = "relative": expected an absolute path of at most 107 ASCII characters, or "" for off (flag --admin-socket)',
      ]);
      assert.equal(outcome.code, 2);
      const timeout = await cli(['drain', '--timeout', 'soon']);
      assert.match(timeout.stderr, /--timeout = "soon": expected a duration/);
      assert.equal(timeout.code, 2);
    });
  });

  suite('status', () => {
    test('shows the holder, the routers and the API servers', async () => {
      const outcome = await serve(
        (_request, response) => response.end(JSON.stringify(STATUS)),
        null,
        (address) => cli(['status', '--admin-address', address]),
      );
      assert.equal(outcome.code, 0, outcome.stderr);
      assert.match(outcome.stdout, /^cp-1: kube-vrrp 1\.2\.3 on eth0, pid 77, up 1h 2m\n/);
      assert.match(
        outcome.stdout,
        /^10\.0\.0\.10 {2}51 {4}Active {2}\d+s +254 {7}this node {2}no Active heard for 376 ms$/m,
      );
      assert.match(outcome.stdout, /^10\.0\.0\.1:6443 \(this node\) {2}up {5}3 {12}200$/m);
    });

    test('--json passes on what the daemon says, also what this version does not know', async () => {
      const newer = { ...STATUS, extra: { more: true } };
      const outcome = await serve(
        (_request, response) => response.end(JSON.stringify(newer)),
        null,
        (address) => cli(['status', '--json', '--admin-address', address]),
      );
      assert.deepEqual(JSON.parse(outcome.stdout), newer);
    });

    test('where the admin address is off, the control socket is asked', async () => {
      const path = join(folder, 'status.sock');
      const outcome = await serve(
        (_request, response) => response.end(JSON.stringify(STATUS)),
        { path },
        () => cli(['status', '--admin-address', '', '--admin-socket', path]),
      );
      assert.equal(outcome.code, 0, outcome.stderr);
      const off = await cli(['status', '--admin-address', '', '--admin-socket', '']);
      assert.deepEqual([off.code, off.stderr.split('\n').length], [2, 2]);
    });

    test('every state of an API server is shown', async () => {
      for (const state of ['unknown', 'up', 'draining', 'down'] as const) {
        const backends = STATUS.backends.map((backend) => ({ ...backend, state }));
        const outcome = await serve(
          (_request, response) => response.end(JSON.stringify({ ...STATUS, backends })),
          null,
          (address) => cli(['status', '--admin-address', address]),
        );
        assert.equal(outcome.code, 0, outcome.stderr);
        assert.match(outcome.stdout, new RegExp(`:6443.* ${state} `));
      }
    });

    test('no daemon, or something else in its place, is one sentence', async () => {
      const address = await serve(
        () => undefined,
        null,
        (free) => Promise.resolve(free),
      );
      const nobody = await cli(['status', '--admin-address', address]);
      assert.equal(
        nobody.stderr,
        `kube-vrrp status: nothing answers at http://${address}: kube-vrrp does not run on this node, or with another configuration\n`,
      );
      const other = await serve(
        (_request, response) => response.end('<html>'),
        null,
        (there) => cli(['status', '--admin-address', there]),
      );
      assert.match(
        other.stderr,
        /^kube-vrrp status: what answers at http:.* is not kube-vrrp: its answer is not JSON\n$/,
      );
      const lacking = await serve(
        (_request, response) => response.end('{"version":"1"}'),
        null,
        (there) => cli(['status', '--admin-address', there]),
      );
      assert.match(lacking.stderr, /is not this version of kube-vrrp: its status has no good node\n$/);
      for (const outcome of [nobody, other, lacking]) {
        assert.equal(outcome.code, 1);
        assertNoStack(outcome);
      }
    });

    test('--watch shows it again, outlives a restart of the daemon, and ends when its reader goes away', async () => {
      let requests = 0;
      await serve(
        (_request, response) => {
          requests += 1;
          if (requests === 2) response.destroy();
          else response.end(JSON.stringify(STATUS));
        },
        null,
        async (address) => {
          const child = spawn(process.execPath, [
            MAIN,
            'status',
            '--watch',
            '--json',
            '--admin-address',
            address,
          ]);
          const ended = once(child, 'exit');
          let stdout = '';
          for await (const chunk of child.stdout) {
            stdout += String(chunk);
            if (stdout.split('\n').length > 2) break;
          }
          // Leaving the loop has closed the pipe, so the next status has no reader.
          assert.deepEqual(await ended, [0, null]);
        },
      );
      assert.ok(requests > 3);
    });
  });

  suite('drain', () => {
    test('waits until the VIP has moved, and says where to', async () => {
      const path = join(folder, 'drain.sock');
      const requests: string[] = [];
      const outcome = await serve(
        (request, response) => {
          requests.push(`${request.method} ${request.url}`);
          if (request.method === 'POST') response.end('{"draining":true}');
          else response.end(JSON.stringify(requests.length < 4 ? STATUS : movedTo('10.0.0.2')));
        },
        { path },
        () => cli(['drain', '--force', '--admin-socket', path]),
      );
      assert.equal(outcome.code, 0, outcome.stderr);
      assert.deepEqual(requests.slice(0, 2), ['POST /drain?force=true', 'GET /status']);
      assert.match(
        outcome.stdout,
        /^cp-1 is draining: waiting for another node to take 10\.0\.0\.10\n10\.0\.0\.10 handed over to 10\.0\.0\.2 within \d+ ms\ncp-1 is drained: .*\n$/,
      );
    });

    test('a refusal is told, and so is a VIP that stays', async () => {
      const path = join(folder, 'refuse.sock');
      const refused = await serve(
        (_request, response) => response.writeHead(409).end('{"error":"no other node is healthy"}'),
        { path },
        () => cli(['drain', '--admin-socket', path]),
      );
      assert.deepEqual([refused.code, refused.stderr], [1, 'kube-vrrp drain: no other node is healthy\n']);
      const stuck = await serve(
        (request, response) => response.end(request.method === 'POST' ? '{}' : JSON.stringify(STATUS)),
        { path },
        () => cli(['drain', '--timeout', '300ms', '--admin-socket', path]),
      );
      assert.equal(stuck.code, 1);
      assert.match(
        stuck.stderr,
        /^kube-vrrp drain: cp-1 still holds 10\.0\.0\.10: no other node has taken it/,
      );
    });

    test('a drain by force that leaves no holder says so, and exits 1', async () => {
      const path = join(folder, 'left.sock');
      let asked = 0;
      const [router] = STATUS.virtualRouters;
      const gone = {
        ...STATUS,
        drained: true,
        virtualRouters: [{ ...router, state: 'Backup', bound: false }],
      };
      const outcome = await serve(
        (request, response) => {
          asked += 1;
          if (request.method === 'POST') response.end('{}');
          else response.end(JSON.stringify(asked < 4 ? STATUS : gone));
        },
        { path },
        () => cli(['drain', '--force', '--admin-socket', path]),
      );
      assert.equal(outcome.code, 1);
      assert.match(outcome.stdout, /10\.0\.0\.10 given up, and no node has taken it, within/u);
      assert.match(
        outcome.stderr,
        /^kube-vrrp drain: no node holds 10\.0\.0\.10 now, so clients reach no API server/u,
      );
    });

    test('a node that holds nothing is drained only once its daemon says so', async () => {
      const path = join(folder, 'waiting.sock');
      let asked = 0;
      const waiting = { ...STATUS, waitingFor: 'the certificates of health', virtualRouters: [] };
      const outcome = await serve(
        (request, response) => {
          asked += 1;
          if (request.method === 'POST') response.end('{}');
          else response.end(JSON.stringify({ ...waiting, drained: asked > 3 }));
        },
        { path },
        () => cli(['drain', '--admin-socket', path]),
      );
      assert.deepEqual([outcome.code, outcome.stderr], [0, '']);
      assert.ok(asked > 3);
      const never = await serve(
        (request, response) => response.end(request.method === 'POST' ? '{}' : JSON.stringify(waiting)),
        { path: join(folder, 'never.sock') },
        () => cli(['drain', '--timeout', '300ms', '--admin-socket', join(folder, 'never.sock')]),
      );
      assert.equal(never.code, 1);
      assert.match(never.stderr, /^kube-vrrp drain: cp-1 has not confirmed the drain in time/u);
    });

    test('a drain that the daemon takes back has failed, and is not waited for', async () => {
      const path = join(folder, 'taken-back.sock');
      let asked = 0;
      const outcome = await serve(
        (request, response) => {
          asked += 1;
          if (request.method === 'POST') response.end('{}');
          else response.end(JSON.stringify({ ...STATUS, drained: asked === 3 }));
        },
        { path },
        () => cli(['drain', '--timeout', '60s', '--admin-socket', path]),
      );
      assert.equal(outcome.code, 1);
      assert.match(
        outcome.stderr,
        /^kube-vrrp drain: no other node took 10\.0\.0\.10, so cp-1 keeps it and is not drained/,
      );
    });

    test('undrain, and what both say when no daemon is there', async () => {
      const path = join(folder, 'undrain.sock');
      const outcome = await serve(
        (request, response) => response.writeHead(request.url === '/undrain' ? 200 : 404).end('{}'),
        { path },
        () => cli(['undrain', '--admin-socket', path]),
      );
      assert.deepEqual(outcome, { code: 0, stdout: 'this node may hold the VIP again\n', stderr: '' });
      for (const command of ['drain', 'undrain']) {
        const nobody = await cli([command, '--admin-socket', join(folder, 'none.sock')]);
        assert.equal(nobody.code, 1);
        assert.match(
          nobody.stderr,
          new RegExp(`^kube-vrrp ${command}: nothing answers at /.*none\\.sock: .*\\n$`),
        );
      }
    });
  });

  test('run: a signal before the daemon is there ends it at once, with code 0', async () => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      const config = join(folder, `config-${signal}`);
      execFileSync('mkfifo', [config]);
      const child = spawn(process.execPath, [MAIN, 'run', '--config', config], { stdio: 'pipe' });
      const ended = once(child, 'exit');
      const complaints = textOf(child.stderr);
      // Opens when the other end reads: the configuration is being read now.
      const writer = await open(config, 'w');
      child.kill(signal);
      await writer.close();
      assert.deepEqual([await ended, await complaints], [[0, null], '']);
    }
  });
});
