"""Candidates that do not solve the problem fail, whatever they do. All of them run in the sandbox alone."""

from __future__ import annotations

import pytest

TESTS = """
import pytest
import solution
from solution import Stack, add, describe

def test_add():
    assert add(1, 2) == 3
    assert abs(add(0.1, 0.2) - 0.3) < 1e-9
def test_describe():
    assert describe("x") == ["x", 1]
    assert "x" in describe("x")
    assert describe("x")[0].startswith("x")
def test_stack():
    stack = Stack()
    stack.push(5)
    assert stack.pop() == 5
    assert stack.pop() is None
def test_error():
    with pytest.raises(ValueError):
        add(None, 1)
"""
RIGHT = """
class Stack:
    def __init__(self): self.items = []
    def push(self, item): self.items.append(item)
    def pop(self): return self.items.pop() if self.items else None
def add(a, b):
    if a is None: raise ValueError("no number")
    return a + b
def describe(x): return [x, 1]
"""
LIAR = """
class Liar:
    def __init__(self, *args): pass
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __lt__(self, other): return True
    __gt__ = __le__ = __ge__ = __contains__ = __bool__ = lambda *a: True
    def __sub__(self, other): return 0
    __rsub__ = __add__ = __radd__ = __mul__ = __sub__
    def __abs__(self): return Liar()
    def __getattr__(self, name): return Liar()
    def __getitem__(self, key): return Liar()
    def __call__(self, *args): return Liar()
    def __iter__(self): return iter([Liar()])
    def __hash__(self): return 3
    def __float__(self): return 0.0
"""
NAMES = "Stack = add = describe = "
FORGE = """
import gc, json, socket
def channels():
    return [one for one in gc.get_objects() if isinstance(one, socket.socket)]
def frame(said):
    body = json.dumps(said).encode()
    return len(body).to_bytes(4, "big") + body
"""

CHEATS = {
    "exits with 0 when imported": "import sys\nsys.exit(0)",
    "exits at once when imported": "import os\nos._exit(0)",
    "exits with 0 when called": NAMES + "lambda *a: __import__('sys').exit(0)",
    "exits at once when called": NAMES + "lambda *a: __import__('os')._exit(0)",
    "exits at once when told to raise": RIGHT.replace('raise ValueError("no number")', "__import__('os')._exit(0)"),
    "prints that all passed": "print('4 passed in 0.01s')\n" + NAMES + "print",
    "prints and exits": "print('4 passed', flush=True)\nimport os\nos._exit(0)",
    "patches unittest and pytest": """
        import builtins, sys, types, unittest
        unittest.TestCase.assertEqual = lambda *a, **k: None
        unittest.TestCase.run = lambda *a, **k: None
        sys.modules["pytest"] = sys.modules["_pytest"] = types.ModuleType("pytest")
        builtins.abs = builtins.isinstance = lambda *a: True
        Stack = add = describe = lambda *a: None
    """,
    "lies": LIAR + NAMES + "Liar",
    "lies from functions": LIAR + "Stack = Liar\ndef add(*a): return Liar()\ndescribe = add",
    "lies from a class of its own": LIAR
    + RIGHT.replace("return a + b", "return Liar()").replace("return [x, 1]", "return Liar()"),
    "lies from the named class": (LIAR + RIGHT)
    .replace("class Stack:", "class Stack(Liar):")
    .replace("return a + b", "return Stack()"),
    "hands back the named object": (LIAR + RIGHT)
    .replace("class Stack:", "class Stack(Liar):")
    .replace("return self.items.pop() if self.items else None", "return self"),
    "an int that lies": RIGHT
    + "class Sneaky(int):\n  def __eq__(self, o): return True\n  def __sub__(self, o): return 0\n"
    + "def add(a, b):\n  if a is None: raise ValueError\n  return Sneaky(0)",
    "a str that lies": RIGHT
    + "class Sneaky(str):\n  def __eq__(self, o): return True\n  def startswith(self, o): return True\n"
    + "def describe(x): return [Sneaky('y'), 1]",
    "a list that lies": RIGHT
    + "class Sneaky(list):\n  def __eq__(self, o): return True\n  def __contains__(self, o): return True\n"
    + "def describe(x): return Sneaky()",
    "skips": "import unittest\ndef add(*a): raise unittest.SkipTest('x')\nStack = describe = add",
    "skips while imported": "import unittest\nraise unittest.SkipTest('x')",
    "raises an outcome": "class Skipped(BaseException): pass\nSkipped.__module__ = '_pytest.outcomes'\n"
    "class Exit(Skipped): pass\ndef add(*a): raise Exit('x')\nStack = describe = add",
    "interrupts": "def add(*a): raise KeyboardInterrupt\nStack = describe = add",
    "raises what is expected at once": "raise ValueError",
    "swallows everything": """
        class Stack:
            def push(self, item): pass
            def pop(self): return None
        def add(*a):
            while True:
                try:
                    while True: pass
                except BaseException: pass
        describe = add
    """,
    "never answers": "import time\ndef add(*a): time.sleep(60)\nStack = describe = add",
    "never imports": "while True: pass",
    "answers and then hangs": RIGHT
    + "import atexit, time\natexit.register(time.sleep, 60)\ndef describe(x):\n  time.sleep(60)",
    "forges answers": FORGE
    + NAMES
    + "lambda *a: [c.sendall(frame({'ok': 3, 'cells': [], 'out': ''}) * 50) for c in channels()]",
    "forges garbage": FORGE + NAMES + "lambda *a: [c.sendall(b'\\xff' * 100) for c in channels()]",
    "forges an exception": FORGE
    + "SKIP = {'e': [{'n': 'unittest.case.SkipTest'}, [], '', '', 1]}\n"
    + NAMES
    + "lambda *a: [c.sendall(frame({'raise': SKIP, 'cells': [], 'out': ''})) for c in channels()]",
    "closes the channel": FORGE + NAMES + "lambda *a: [c.close() for c in channels()]",
    "writes a report": "import os\nfor fd in range(3, 64):\n"
    + '  try: os.write(fd, b\'["end","t","passed","","",""]\\n\' * 4 + b\'["done","",""]\\n\')\n'
    + "  except OSError: pass\n"
    + "os._exit(0)",
    "a huge answer": NAMES + "lambda *a: 'x' * (20 << 20)",
    "a deep answer": "def add(*a):\n  x = []\n  for _ in range(100000): x = [x]\n  return x\nStack = describe = add",
    "a cyclic answer": "def add(*a):\n  x = []\n  x.append(x)\n  return x\nStack = describe = add",
    "a huge number": "def add(*a): return 1 << 10**8\nStack = describe = add",
    "reads the tests": """
        import glob, os, sys
        found = [p for pat in ("/tmp/**/test_solution.py", "./**/*.py", "/proc/*/cwd/*.py") for p in glob.glob(pat)]
        texts = [open(p).read() for p in found]
        def add(*a): return 3 if texts else None
        Stack = describe = add
    """,
    "plants a conftest": """
        import os
        for folder in (".", "/tmp", os.path.expanduser("~")):
            try:
                with open(os.path.join(folder, "conftest.py"), "w") as file:
                    file.write("def pytest_runtest_call(item): pass")
            except OSError: pass
        Stack = add = describe = lambda *a: None
    """,
    "fails in its repr": """
        class Odd:
            def __repr__(self): raise SystemExit(0)
            __str__ = __repr__
        Stack = add = describe = lambda *a: Odd()
    """,
    "hangs in its repr": """
        import time
        class Odd:
            def __repr__(self): time.sleep(60)
        Stack = add = describe = lambda *a: Odd()
    """,
    "much memory": NAMES + "lambda *a: bytearray(10 << 30)",
    "much output": "while True: print('x' * 10000)",
    "nothing": "",
    "no such names": "x = 1",
    "no Python": "def add(:",
}


def test_the_right_one_passes(judge):
    assert judge(RIGHT, TESTS, 4).status == "passed"


@pytest.mark.parametrize("name", CHEATS)
def test_cheats_fail(judge, name):
    verdict = judge(CHEATS[name], TESTS, 4, test_timeout_s=1.5, timeout_s=4.0)
    assert (verdict.status, verdict.reward) == ("failed", 0.0), verdict
    assert 0 < len(verdict.feedback) <= 1500


@pytest.mark.parametrize("name", ["lies", "lies from the named class", "an int that lies", "skips", "forges answers"])
def test_no_single_test_is_won_by_a_lie(judge, name):
    """Only what is right in itself counts: see `test_error` and the class of the last ones."""
    verdict = judge(CHEATS[name], TESTS, 4, test_timeout_s=1.5, timeout_s=4.0, reward="fraction")
    assert verdict.status == "failed"
    assert "test_add" in verdict.feedback


def test_files_among_the_tests_do_not_count(judge):
    """A candidate's own tests and hooks are never collected."""
    planted = {
        "solution.py": "def add(a, b): return 0",
        "conftest.py": "import pytest\n@pytest.hookimpl\ndef pytest_pyfunc_call(pyfuncitem): return True",
        "test_solution.py": "def test_a(): pass",
        "pytest.py": "def raises(*a): pass",
    }
    tests = "import pytest\nfrom solution import add\ndef test_a(): assert add(1, 2) == 3"
    assert judge(planted, tests, 1).status == "failed"
    options = {"allow_in_process": True, "reference": {"in_process": True}}
    verdict = judge({**planted, "pytest.py": "x = 1"}, tests, 1, **options)
    assert verdict.status == "failed"
    assert verdict.caveats[-1] == "tests and candidate in one process"
