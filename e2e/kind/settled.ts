/** How long the suite waits. What must be quick is a limit of its scenario, and is measured. */

/**
 * For whatever kubelet, etcd and an API server have to do. kubelet lets a container take 30 s to end, starts one that
 * has ended before after 10 s, then 20 s, up to 5 minutes, and tries a volume again after up to 2 minutes; all of that
 * on a machine where four nodes share two cores.
 */
export const SETTLED_MS = 300_000;
