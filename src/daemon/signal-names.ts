/** Which signals the daemon answers, and how. Loads nothing: the entry point needs it before native modules. Pure. */

/**
 * They end the daemon, and the VIP is handed over first: systemd, kubelet and tini send TERM, people INT and QUIT,
 * systemd's watchdog ABRT, lxc and power supplies PWR, the kernel XCPU at a limit on processor time.
 */
export const STOP_SIGNALS = ['SIGTERM', 'SIGINT', 'SIGQUIT', 'SIGABRT', 'SIGPWR', 'SIGXCPU'] as const;

/**
 * They would end the process, and mean nothing here. Node ignores PIPE and XFSZ by itself. What shows a defect of the
 * program (SEGV, BUS, FPE, ILL, TRAP, SYS) and what cannot be caught (KILL, STOP) is left to the kernel.
 */
export const IGNORED_SIGNALS = ['SIGUSR2', 'SIGALRM', 'SIGVTALRM', 'SIGPROF', 'SIGIO', 'SIGSTKFLT'] as const;
