/** The network thread: every call that may wait for the kernel's configuration lock (rtnl) is made here. */
import { parentPort, workerData } from 'node:worker_threads';
import { errorText } from '../../log/error-text.ts';
import type { Log } from '../../log/log.ts';
import { RtNetlink } from '../../net/rtnetlink.ts';
import { raisePriority } from '../../runtime/process.ts';
import { beat } from '../../runtime/thread-vitals.ts';
import { AnsweredCalls } from './answered-calls.ts';
import { GroupMemberships } from './group-memberships.ts';
import type { FromNetwork, NetworkWorkerData, ToNetwork } from './messages.ts';
import { NetworkWatch } from './watch.ts';

const main = parentPort;
if (main === null) throw new Error('the network thread was started on its own');

const { config, vitals } = workerData as NetworkWorkerData;
const post = (message: FromNetwork): void => main.postMessage(message);

// A renewal that waits for a processor behind other work costs the VIP as surely as a late advertisement.
raisePriority();
const stopBeat = beat(vitals.buffer, vitals.thread);
const log: Log = (level, message, fields = {}) => post({ type: 'log', level, message, fields });
const memberships = config.vrrp.transport === 'multicast' ? new GroupMemberships(log) : null;

async function open(): Promise<NetworkWatch | null> {
  try {
    return await NetworkWatch.open({
      openNetlink: (listener) => RtNetlink.open(listener),
      config,
      log,
      onView: (view) => {
        memberships?.follow(view);
        post({ type: 'view', view });
      },
      onAddressGone: (linkIndex, address) => post({ type: 'addressGone', linkIndex, address }),
    });
  } catch (error) {
    post({ type: 'failed', message: errorText(error) });
    return null;
  }
}

const watch = await open();
const calls = new AnsweredCalls(post);

main.on('message', (message: ToNetwork) => {
  if (message.type === 'stop') {
    stopBeat();
    memberships?.close();
    watch?.close();
    main.close();
    return;
  }
  if (watch === null) return;
  switch (message.type) {
    case 'lease':
      void calls.answer(message.id, async () => {
        watch.lease(message.lease);
        return false;
      });
      break;
    case 'remove':
      void calls.answer(message.id, () => watch.remove(message.linkIndex, message.address));
      break;
    case 'begin':
      watch.begin(message.place);
      break;
    case 'end':
      watch.end();
      break;
  }
});

if (watch !== null) post({ type: 'ready' });
