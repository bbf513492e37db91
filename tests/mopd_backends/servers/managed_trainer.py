"""A trainer in miniature, to be ended in any way: `managed_trainer.py FOLDER ENDING OPTIONS`.

It starts a fake engine as a run does, and prints a line when that answers. A forked child of it, which holds open all
that it held, lives on.
"""

import os
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from mopd_backends.servers.managed import ManagedServer, free_port

FOLDER, ENDING, OPTIONS = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
PORT = free_port()


def answers() -> bool:
    try:
        return urlopen(f"http://127.0.0.1:{PORT}/health").status == 200
    except URLError:
        return False


program = str(Path(__file__).with_name("fake_engine.py"))
server = ManagedServer([sys.executable, "-I", program, str(PORT), OPTIONS], {}, FOLDER / "server.log")
try:
    if os.fork() == 0:
        time.sleep(60)
        os._exit(0)
    server.wait_until(answers, 30)
    print("up", flush=True)
    if ENDING == "failure":
        raise RuntimeError("the trainer failed")
    if ENDING != "success":
        time.sleep(60)
finally:
    server.stop()
