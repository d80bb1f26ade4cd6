/** cgroup v1 on the machine that the nodes run on. */
import { existsSync } from 'node:fs';

import { minorOf } from './images.ts';

/** Brought kubelet's failCgroupV1. From 1.35 on it is true unless the configuration says otherwise. */
const FAIL_CGROUP_V1_MINOR = 31;

/** What a KubeletConfiguration needs so that a kubelet of this version starts on this machine; empty for nothing. */
export function cgroupSettings(kubernetesVersion: string): Readonly<Record<string, boolean>> {
  const isV1 = !existsSync('/sys/fs/cgroup/cgroup.controllers');
  return isV1 && minorOf(kubernetesVersion) >= FAIL_CGROUP_V1_MINOR ? { failCgroupV1: false } : {};
}
