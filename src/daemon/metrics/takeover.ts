/** What /metrics says of the clients of old holders; nothing until the node is known. */
import type { TakeoverCounts } from '../../takeover/driver/takeover.ts';
import { MESSAGE_REJECTS } from '../../takeover/message.ts';
import { labeled, type Metric } from './metric.ts';

function count(name: string, help: string, read: (counts: TakeoverCounts) => number): Metric {
  return {
    name,
    help,
    labels: [],
    read: ({ takeover }) => (takeover === null ? [] : [{ labels: {}, value: read(takeover) }]),
  };
}

export const TAKEOVER_METRICS: readonly Metric[] = [
  count(
    'kube_vrrp_takeover_shared_clients',
    'Clients of the VIP on this node that are announced to peers',
    ({ shared }) => shared,
  ),
  count(
    'kube_vrrp_takeover_known_clients',
    'Clients of the VIP on other nodes that peers have announced',
    ({ known }) => known,
  ),
  count(
    'kube_vrrp_takeover_messages_sent_total',
    'Messages about clients sent to peers',
    ({ messagesSent }) => messagesSent,
  ),
  count(
    'kube_vrrp_takeover_sent_bytes_total',
    'Payload bytes of the messages about clients sent to peers',
    ({ sentBytes }) => sentBytes,
  ),
  count(
    'kube_vrrp_takeover_send_errors_total',
    'Messages to peers and prompts to clients that the kernel refused',
    ({ sendErrors }) => sendErrors,
  ),
  count(
    'kube_vrrp_takeover_messages_received_total',
    'Messages about clients accepted from peers',
    ({ messagesReceived }) => messagesReceived,
  ),
  count(
    'kube_vrrp_takeover_messages_lost_total',
    'Messages about clients that did not arrive, seen from gaps in their sequence',
    ({ messagesLost }) => messagesLost,
  ),
  count(
    'kube_vrrp_takeover_datagrams_dropped_total',
    "Datagrams that the kernel dropped on the peers' port: not sent by a peer from that port on the VIP's interface, or too many",
    ({ dropped }) => dropped,
  ),
  labeled(
    'reason',
    'kube_vrrp_takeover_messages_rejected_total',
    'Messages about clients dropped, by reason',
    ({ takeover }) =>
      takeover === null ? [] : MESSAGE_REJECTS.map((reason) => [reason, takeover.rejected[reason]]),
  ),
  count(
    'kube_vrrp_takeover_prompts_total',
    'Segments sent to clients of old holders, so that they notice',
    ({ prompts }) => prompts,
  ),
  labeled(
    'fate',
    'kube_vrrp_takeover_clients_total',
    "Clients of old holders: told of the move, gone (no longer connected), elsewhere (no route of the VIP's interface), or silent",
    ({ takeover }) => (takeover === null ? [] : Object.entries(takeover.fates)),
  ),
];
