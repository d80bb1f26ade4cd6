/** The daemon's state as one line of the log, which SIGUSR1 asks for. Pure. */
import type { LogFields } from '../log/log.ts';
import type { Status } from './status.ts';

/** The sentence for people, and the same for programs. */
export function stateLine(status: Status): { readonly message: string; readonly fields: LogFields } {
  const { waitingFor, drained, class: healthClass, virtualRouters, backends, clients } = status;
  const parts = [
    ...virtualRouters.map(describeRouter),
    ...(waitingFor === null ? [] : [`waiting for ${waitingFor}`]),
    `health class ${healthClass}`,
    ...(drained ? ['drained'] : []),
    ...backends.map(({ id, state, detail }) => `API server ${id} ${state} (${detail})`),
    `${clients} clients`,
  ];
  const routers = virtualRouters.map(({ vip, state, bound, priority, active }) => ({
    vip,
    state,
    bound,
    priority,
    active: active?.address ?? null,
  }));
  return {
    message: `state: ${parts.join('; ')}`,
    fields: {
      event: 'state',
      waitingFor,
      class: healthClass,
      drained,
      routers,
      backends: backends.map(({ id, state }) => ({ backend: id, state })),
      clients,
    },
  };
}

function describeRouter({ vip, state, bound, priority, active }: Status['virtualRouters'][number]): string {
  const own = `${vip} ${state}, priority ${priority}`;
  if (state === 'Active') return `${own}, ${bound ? 'bound' : 'not bound'}`;
  return active === null ? own : `${own}, holder ${active.address}`;
}
