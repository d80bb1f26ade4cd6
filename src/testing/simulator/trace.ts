/** A run that people can read: time, host, state, what happened, what the router did about it. */
import type { Action, RouterEvent } from '../../vrrp/events.ts';
import type { Schedule } from './schedule.ts';

export class Trace {
  readonly #schedule: Schedule;
  readonly #write: (line: string) => void;

  constructor(schedule: Schedule, write: (line: string) => void) {
    this.#schedule = schedule;
    this.#write = write;
  }

  line(who: string, state: string, text: string): void {
    this.#write(
      `${this.#schedule.nowMs.toFixed(3).padStart(12)}  ${who.padEnd(4)} ${state.padEnd(10)} ${text}`,
    );
  }
}

/** What happened, in a few words. */
export function describeEvent(event: RouterEvent): string {
  switch (event.type) {
    case 'advertisement': {
      const { priority, advertisementIntervalMs } = event.advertisement;
      return `hears ${event.source.text}: priority ${priority}, each ${advertisementIntervalMs} ms`;
    }
    case 'health':
      return `health ${event.class}, confirmed at ${event.confirmedAtMs.toFixed(1)} of its clock`;
    case 'suspended':
      return `suspended for ${event.forMs.toFixed(1)} ms`;
    case 'drain':
      return event.force ? 'drain by force' : 'drain';
    case 'shutdown':
      return `shutdown: ${event.text}`;
    case 'linkDown':
    case 'addressLost':
    case 'bindFailed':
    case 'renewalFailed':
    case 'leaseOverdue':
      return `${event.type}: ${event.text}`;
    case 'addressClaimed':
    case 'leaseAnswered':
    case 'startup':
    case 'bound':
    case 'linkUp':
    case 'linkAddressChanged':
    case 'tick':
    case 'undrain':
      return event.type;
  }
}

/** What the router did, in order. */
export function describeActions(actions: readonly Action[]): string {
  return actions.map(describeAction).join(', ');
}

function describeAction(action: Action): string {
  switch (action.type) {
    case 'send':
      return `send ${action.priority}`;
    case 'transition':
      return `${action.from} -> ${action.to} (${action.cause.kind}: ${action.cause.text})`;
    case 'notice':
      return `notice ${action.notice}`;
    case 'bind':
    case 'renew':
    case 'unbind':
    case 'announce':
    case 'discardQueued':
      return action.type;
  }
}
