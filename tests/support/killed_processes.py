"""Work in a process that is killed at each step that changes the file system."""

from __future__ import annotations

import os
import signal
import sys
from itertools import count

_STEPS = ("open", "os.rename", "os.mkdir", "os.link", "os.remove", "os.rmdir", "os.chmod", "os.utime", "os.chown")


def _kill_before_step(number):
    """Kill this process before it does step `number`."""
    steps = count()

    def hook(event, _):
        if event in _STEPS and next(steps) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def killed_at_each_step(prepare, work):
    """Call `prepare`, then `work` in a process that is killed before its first step, its second, and so on.

    Yields the number of each step; ends when `work` has come to its end. Raises AssertionError if it fails.
    """
    for step in count():
        prepare()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                _kill_before_step(step)
                work()
                status = 0
            finally:
                os._exit(status)
        _, result = os.waitpid(child, 0)
        if not os.WIFSIGNALED(result):
            assert os.WEXITSTATUS(result) == 0
            return
        yield step
