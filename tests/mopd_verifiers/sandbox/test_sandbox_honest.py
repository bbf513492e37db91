"""Honest programs behave as `python FILE` would have them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mopd_verifiers.sandbox.api import Interpreter, Limits, Result

PROGRAMS = {
    "all of stdin": "print(sum(map(int, open(0).read().split())))",
    "lines of stdin": "import sys\nfor line in sys.stdin: print(line.strip()[::-1])",
    "bytes of stdin": "import sys; print(sys.stdin.buffer.readline(), sys.stdin.buffer.read())",
    "stdin until it ends": "try:\n while True: print(int(input()) + 1)\nexcept EOFError: print('end')",
    "os.read": "import os; print(os.read(0, 4)); os.write(1, b'first?\\n')",
    "threads": """
import threading, time
done = []
def work(i):
    time.sleep(0.05); done.append(i)
    if len(done) == 12: print(sorted(done))
for i in range(12): threading.Thread(target=work, args=(i,)).start()
""",
    "a thread pool": """
from concurrent.futures import *
with ThreadPoolExecutor() as p: print(list(p.map(abs, range(-9, 0))))
""",
    "asyncio": """
import asyncio
async def main():
    print(await asyncio.gather(*(asyncio.sleep(0.01, i) for i in range(5))))
    print(await asyncio.to_thread(sum, [1, 2]))
asyncio.run(main())
""",
    "deep recursion in a thread": """
import sys, threading
sys.setrecursionlimit(10**6); threading.stack_size(1 << 27)
def depth(n): return 0 if n == 0 else 1 + depth(n - 1)
t = threading.Thread(target=lambda: print(depth(50_000))); t.start(); t.join()
""",
    "exit hooks": """
import atexit
atexit.register(print, 'first registered')
atexit.register(print, 'second')
print('main')
""",
    "what is deleted at the end": """
class A:
 def __del__(self): print('deleted', len(NAMES))
NAMES = [1, 2]
a = A()
def f(): return a
""",
    "buffered output": "import sys; sys.stdout.write('no newline')",
    "leaving with a number": "import sys; print('before'); sys.exit(3)",
    "leaving with words": "import sys; sys.exit('these words')",
    "leaving in a thread": "import sys, threading; threading.Thread(target=sys.exit, args=(5,)).start(); print('fine')",
    "an error": "def f(x):\n    return 1 / x\nf(0)",
    "an error in an error": "try:\n  1/0\nexcept ZeroDivisionError as e:\n  raise KeyError('other') from e",
    "endless recursion": "def f(): f()\nf()",
    "a syntax error": "x = 1\nif x\n  print(x)",
    "an error in a thread": """
import threading
def f(): raise ValueError(3)
t = threading.Thread(target=f); t.start(); t.join()
""",
    "a hook for errors": "import sys\nsys.excepthook = lambda *a: print('hooked', a[0].__name__)\n1/0",
    "names": "import sys; print(__name__, sys.argv[1:], sys.modules['__main__'].__dict__ is globals())",
    "pickles": """
import pickle, dataclasses, typing
@dataclasses.dataclass(frozen=True)
class Point:
    x: 'int'
    y: 'typing.List[int]'
print(pickle.loads(pickle.dumps(Point(1, [2]))), typing.get_type_hints(Point))
""",
    "own source": "import inspect\ndef f():\n    return 1  # a comment\nprint(inspect.getsource(f))",
    "a future import": "from __future__ import annotations\ndef f(x: Unknown): pass\nprint(f.__annotations__)",
    "decimal and big numbers": """
import sys, decimal
sys.set_int_max_str_digits(0)
print(decimal.Decimal(1) / 7, len(str(7 ** 9999)))
""",
    "the standard library": """
import sqlite3, csv, bz2, lzma, zlib, hashlib, zoneinfo, datetime, xml.etree.ElementTree
import unittest, email, difflib, array
print(sqlite3.connect(':memory:').execute('select 1 + 1').fetchall(), hashlib.sha256(b'').hexdigest()[:8])
print(lzma.decompress(lzma.compress(b'x')), zoneinfo.ZoneInfo('UTC'))
""",
    "unicode": "print('\\u00e9\\U0001f600', input())",
    "a socket pair": "import socket\na, b = socket.socketpair()\na.send(b'hi'); print(b.recv(9))",
    "a timer": """
import signal
def f(*a): print('rang'); raise SystemExit
signal.signal(signal.SIGALRM, f)
signal.setitimer(signal.ITIMER_REAL, .05)
signal.pause()
""",
    "writing to nothing": "print('x', file=open('/dev/null', 'w')); print('done')",
    "chosen at random": "import random, secrets, os, uuid; random.seed(1); print(random.random(), len(os.urandom(4)))",
    "limits of its own": "import resource as r\nr.setrlimit(r.RLIMIT_STACK, r.getrlimit(r.RLIMIT_STACK)); print('set')",
    "numbers of processors": "import os; print(os.cpu_count() > 0, len(os.sched_getaffinity(0)) > 0)",
}
STDIN = "3\n4\n5\n"


@pytest.mark.parametrize("name", PROGRAMS)
def test_it_does_what_python_does(name: str, run: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "solution.py").write_text(PROGRAMS[name])
    bare = subprocess.run(
        [sys.executable, "-I", "solution.py"],
        input=STDIN.encode(),
        capture_output=True,
        cwd=tmp_path,
        timeout=60,
        check=False,
    )
    result = run(PROGRAMS[name], stdin=STDIN.encode())
    assert result.stdout == bare.stdout
    assert result.exit_code == bare.returncode
    assert _lines(result.stderr) == _lines(bare.stderr)


def _lines(stderr: bytes) -> list[str]:
    """Tracebacks alike but for the folder of the file."""
    return [
        line.replace(str(Path("x").absolute().parent), "") if "File" not in line else _line_of(line)
        for line in stderr.decode().splitlines()
    ]


def _line_of(line: str) -> str:
    return line.replace(line.partition('"')[2].partition('"')[0], Path(line.split('"')[1]).name)


def test_a_big_input_is_read(run: Callable[..., Result]) -> None:
    result = run("import sys; print(len(sys.stdin.buffer.read()))", Limits(wall_s=20.0), stdin=b"x" * (40 << 20))
    assert result.stdout == b"41943040\n"


def test_only_named_packages_can_be_imported(run: Callable[..., Result]) -> None:
    assert b"ModuleNotFoundError" in run("import numpy").stderr
    assert b"ModuleNotFoundError" in run("import pydantic").stderr
    numeric = Interpreter(packages=("numpy",))
    source = (
        "import numpy as np, numpy.fft, numpy.linalg\n"
        "print(int(numpy.linalg.inv(np.eye(3)).sum()), len(np.random.default_rng(1).random(4)))"
    )
    result = run(source, Limits(wall_s=30.0), interpreter=numeric)
    assert result.stdout == b"3 4\n", result
    assert b"ModuleNotFoundError" in run("import pydantic", interpreter=numeric).stderr


def test_the_environment_is_empty(run: Callable[..., Result]) -> None:
    source = "import os, ctypes; print(dict(os.environ), ctypes.CDLL(None).getenv(b'PATH'), os.getcwd())"
    assert run(source).stdout == b"{} 0 /\n"
