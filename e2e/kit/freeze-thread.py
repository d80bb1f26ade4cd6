"""Stops one thread of a process, and no other (ptrace(2)), until standard input ends.

Arguments: the process and the name of the thread, as /proc/PID/task/TID/comm has it. Prints `frozen` when it stands still.
"""
import ctypes
import os
import select
import sys

PTRACE_ATTACH = 16
PTRACE_DETACH = 17
WALL = 0x40000000

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]

pid, name = int(sys.argv[1]), sys.argv[2]
threads = {}
for task in os.listdir(f'/proc/{pid}/task'):
    with open(f'/proc/{pid}/task/{task}/comm') as comm:
        threads.setdefault(comm.read().strip(), int(task))
if name not in threads:
    sys.exit(f'process {pid} has no thread {name}: {", ".join(threads)}')
thread = threads[name]
if libc.ptrace(PTRACE_ATTACH, thread, None, None) != 0:
    sys.exit(f'cannot attach: {os.strerror(ctypes.get_errno())}')
os.waitpid(thread, WALL)
print('frozen', flush=True)
# The process has ended only when its tracer has noticed the end of the thread.
while not select.select([sys.stdin], [], [], 0.1)[0]:
    if os.waitpid(thread, WALL | os.WNOHANG)[0] != 0:
        sys.exit()
libc.ptrace(PTRACE_DETACH, thread, None, None)
