/** Which API server kubelet is told to ask, by what kubeadm of the cluster's version does. */
import { API_SERVER_PORT } from '../kit/apiserver.ts';
import { PORT, VIP_IPV4 } from './addresses.ts';
import { minorOf } from './images.ts';
import type { Machine } from './machine.ts';

/** From here on kubeadm's ControlPlaneKubeletLocalMode is on unless somebody turns it off. */
const LOCAL_MODE_MINOR = 33;

/** What kubeadm writes as `server` into the kubelet.conf of a control-plane node. Workers always get the VIP. */
export function kubeletServer({ ipv4 }: Pick<Machine, 'ipv4'>, kubernetesVersion: string): string {
  const isLocal = minorOf(kubernetesVersion) >= LOCAL_MODE_MINOR;
  return isLocal ? `https://${ipv4}:${API_SERVER_PORT}` : `https://${VIP_IPV4}:${PORT}`;
}
