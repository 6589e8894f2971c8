"""Runs a command and prints its seconds, those of the processor, its peak memory in MB, and its exit code.

A process of its own, and a small one: a child is charged with the memory of the process it was forked from.
"""

import os
import sys
import time

command = sys.argv[1:]
nowhere = (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)
started = time.perf_counter()
pid = os.posix_spawnp(command[0], command, os.environ, file_actions=[nowhere])
_, status, usage = os.wait4(pid, 0)
seconds = time.perf_counter() - started
print(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, os.waitstatus_to_exitcode(status))
