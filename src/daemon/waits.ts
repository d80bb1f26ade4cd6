/** What the start of the daemon waits for. Pure. */

/** By the value of the metric's label: how it is called in texts. */
export const WAIT_SUBJECTS = {
  start: 'the daemon to start',
  admin_endpoint: 'the admin endpoint',
  node_lock: 'the lock of this node',
  control_socket: 'the control socket',
  certificates: 'the certificates of health',
  network: 'the network of this node',
  proxy_port: 'the port of the proxy',
} as const;
export type WaitReason = keyof typeof WAIT_SUBJECTS;
