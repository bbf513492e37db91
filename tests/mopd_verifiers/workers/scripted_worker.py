"""A worker whose jobs say what it does: [action, argument]."""

from __future__ import annotations

import os
import signal
import sys
import time

from mopd_verifiers.workers.child import serve

hoard = []


def handle(job):
    action, argument = job
    if action == "sleep":
        time.sleep(argument)
    elif action == "signal":
        os.kill(os.getpid(), signal.Signals[argument])
    elif action == "exit":
        sys.exit(argument)
    elif action == "signal once":
        try:
            os.close(os.open(argument, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return "second attempt"
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "allocate":
        try:
            return len(bytearray(argument))
        except MemoryError:
            return "MemoryError"
    elif action == "hoard":
        hoard.append(bytearray(argument))
    elif action == "print":
        os.write(1, b"noise\n")
        print("more noise", flush=True)
    elif action == "pid":
        return os.getpid()
    elif action == "slow pid":
        time.sleep(argument)
        return os.getpid()
    return argument


if __name__ == "__main__":
    serve(handle)
