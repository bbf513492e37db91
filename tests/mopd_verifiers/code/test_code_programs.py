"""What becomes of programs in the real sandbox: honest ones, wrong ones and cheats, with their feedback."""

from __future__ import annotations

import time

import pytest
from code_cases import DOUBLE, INCREMENT, SUM, fenced, judged

from mopd_core.types import Verdict
from mopd_verifiers.code.config import CodeConfig
from mopd_verifiers.code.verifier import build


@pytest.fixture(scope="module")
def code():
    verifier = build(CodeConfig(workers=2, timeout_s=5.0), None)
    yield verifier
    verifier.close()


FEEDBACK = {
    "wrong output": (SUM, "print(3)", "Test 2 of 2 failed: the output is wrong. The 1 before it passed."),
    "its input": (SUM, "print(3)", "Input:\n2 2\n\nExpected output:\n4\n\nOutput:\n3"),
    "an error": (SUM, "n = 1\nprint(n // 0)", "In the program:\nline 2: print(n // 0)"),
    "its message": (SUM, "print(1 // 0)", "Error:\nZeroDivisionError: integer division or modulo by zero"),
    "syntax": (SUM, "x = 1\nprint(", "does not compile (SyntaxError: '(' was never closed)"),
    "exit code": (SUM, "print(3)\nraise SystemExit(7)", "it ended with exit code 7"),
    "memory": (SUM, "x = [0] * 10**10", "it needed more than 1024 MiB of memory"),
    "output": (SUM, "print('x' * 2**21)", "it wrote more than 1024 KiB"),
    "call": (DOUBLE, "def double(n):\n    return n", "Call:\ndouble(1)\nExpected:\n2\nReturned:\n1"),
    "keyword": (DOUBLE, "def double(n):\n    return 2 * n if n != 'a' else ''", "Call:\ndouble(n='a')"),
    "none": (DOUBLE, "def double(n):\n    2 * n", "it returned None"),
    "generator": (DOUBLE, "def double(n):\n    yield n", "it returned a generator, which JSON has no form for"),
    "object": (DOUBLE, "def double(n):\n    return object()", "it returned a object"),
    "huge": (DOUBLE, "def double(n):\n    return 10**5000", "it returned an integer of more than 4000 digits"),
    "deep": (DOUBLE, "def double(n):\n    for _ in range(500):\n        n = [n]\n    return n", "more than 200 deep"),
    "cyclic": (DOUBLE, "def double(n):\n    n = []\n    n.append(n)\n    return n", "more than 200 deep"),
    "a set": (DOUBLE, "def double(n):\n    return {n}", "it returned a set"),
    "odd keys": (DOUBLE, "def double(n):\n    return {(1, 2): 3}", "a dict with a key that is a tuple"),
    "infinite": (DOUBLE, "def double(n):\n    return float('inf')", "Returned:\ninf"),
    "raised": (DOUBLE, "def double(n):\n    raise KeyError(n)", "line 2, in double: raise KeyError(n)"),
    "no function": (DOUBLE, "x = 1", "the program has no function 'double', nor a class Solution with such a method"),
    "import": (DOUBLE, "import nowhere", "No module named 'nowhere'"),
    "exits": (DOUBLE, "def double(n):\n    import os\n    os._exit(0)", "it ended without giving a result"),
    "assertion": (INCREMENT, "    return 2 if n == 1 else None", "Test:\nassert candidate(\n        -1\n    ) == 0"),
    "returned last": (INCREMENT, "    return 2 if n == 1 else None", "The last call returned:\nNone"),
    "raised in check": (INCREMENT, "def increment(n):\n    return [][n]", "solution.py:2 in increment: return [][n]"),
    "humaneval, no function": (INCREMENT, "x = 1", "increment"),
    "humaneval, exits": (INCREMENT, "import os\nos._exit(0)", "The test failed: "),
}  # fmt: skip


@pytest.mark.parametrize(("reference", "source", "expected"), FEEDBACK.values(), ids=FEEDBACK)
def test_feedback(code, reference, source, expected):
    verdict = judged(code, fenced(source), reference)
    assert (verdict.reward, verdict.status) == (0.0, "failed")
    assert expected in verdict.feedback


HONEST = {
    "tuple for a list": (DOUBLE, "def double(n):\n    return (0, 0) if n == [0] else 2 * n"),
    "numpy": (
        DOUBLE,
        "import numpy as np\ndef double(n):\n    return np.zeros(2) if n == [0] else np.int64(2) if n == 1 else 'aa'",
    ),
    "changed arguments": (
        DOUBLE,
        "def double(n):\n    if n == [0]:\n        n.append(0)\n        return n\n    return 2 * n",
    ),
    "prints": (DOUBLE, "def double(n):\n    print('x' * 10**7)\n    return 2 * n"),
    "main guard": (DOUBLE, "def double(n):\n    return 2 * n\nif __name__ == '__main__':\n    input()"),
    "dataclass": (
        DOUBLE,
        "from dataclasses import dataclass\n@dataclass\nclass D:\n    n: int\ndef double(n):\n    return D(n).n * 2",
    ),
    "future": (INCREMENT, "from __future__ import annotations\ndef increment(n: Nowhere):\n    return helper(n)"),
    "humaneval, whole prompt": (INCREMENT, INCREMENT["prompt"] + "    return n + 1"),
    "humaneval, prints": (INCREMENT, "    print(n)\n    return n + 1"),
    "thread": (
        SUM,
        "import threading\nt = threading.Thread(target=lambda: print(sum(map(int, input().split()))))\nt.start()",
    ),
    "exit": (SUM, "print(sum(map(int, open(0).read().split())))\nraise SystemExit"),
}


@pytest.mark.parametrize(("reference", "source"), HONEST.values(), ids=HONEST)
def test_honest_programs_pass(code, reference, source):
    assert judged(code, fenced(source), reference) == Verdict(1.0, "passed")


CHEATS = {
    "early exit": (DOUBLE, "import sys\nsys.exit(0)"),
    "exit while loading": (DOUBLE, "import os\nos._exit(0)"),
    "right, then exit code": (SUM, "print(sum(map(int, input().split())))\nraise SystemExit(1)"),
    "right, then an error": (SUM, "print(sum(map(int, input().split())))\n1 / 0"),
    "forged report": (
        DOUBLE,
        "import os\nlines = b'[\"loaded\"]\\n' + b'[\"value\", true]\\n[\"passed\"]\\n' * 9\n"
        "for fd in range(3, 64):\n    try:\n        os.write(fd, lines)\n    except OSError:\n        pass\n"
        "def double(n):\n    return None",
    ),
    "object that is equal to all": (
        DOUBLE,
        "class Lie:\n    __eq__ = lambda self, other: True\n    __hash__ = None\ndef double(n):\n    return Lie()",
    ),
    "integer that is equal to all": (
        DOUBLE,
        "class Lie(int):\n    __eq__ = lambda self, other: True\ndef double(n):\n    return Lie(2)",
    ),
    "truth for one": (
        {"kind": "function", "entry_point": "f", "tests": [{"args": [], "expected": 1}]},
        "def f():\n    return True",
    ),
    "patched json": (
        DOUBLE,
        "import json\njson.dumps = lambda *a, **k: '[\"passed\"]'\ndef double(n):\n    return None",
    ),
    "humaneval, early exit": (INCREMENT, "import sys\nsys.exit(0)"),
    "humaneval, object that is equal to all": (
        INCREMENT,
        "class Lie:\n    __eq__ = lambda self, other: True\n    __hash__ = None\ndef increment(n):\n    return Lie()",
    ),
    "error where nothing is expected": ({"kind": "stdin", "tests": [{"input": "", "output": ""}]}, "raise ValueError"),
    "nothing where nothing is expected, and hanging": (
        {"kind": "stdin", "tests": [{"input": "", "output": ""}], "timeout_s": 0.3},
        "import time\ntime.sleep(99)",
    ),
    "answering, then hanging": (
        {"kind": "stdin", "tests": [{"input": "", "output": "1"}], "timeout_s": 0.3},
        "import time\nprint(1, flush=True)\ntime.sleep(99)",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("reference", "source"), CHEATS.values(), ids=CHEATS)
def test_cheats_fail(code, reference, source):
    verdict = judged(code, fenced(source), reference)
    assert (verdict.reward, verdict.status, verdict.caveats) == (0.0, "failed", ()), verdict.feedback


def test_a_hidden_test_stays_hidden(code):
    verifier = build(CodeConfig(workers=1, show_tests="none"), None)
    secret = {"kind": "function", "entry_point": "f", "tests": [{"args": ["secret-in"], "expected": "secret-out"}]}
    try:
        for body in ("return x", "raise KeyError(x)", "return 1 // 0"):
            feedback = judged(verifier, fenced(f"def f(x):\n    {body}"), secret).feedback
            assert "secret" not in feedback
            assert "What the test holds is not shown." in feedback
    finally:
        verifier.close()


def test_livecodebench_programs_need_no_imports(code):
    case = '[{"input": "[3, 1, 2]", "output": "[1, 2, 3]", "testtype": "functional"}]'
    columns = {"public_test_cases": case, "private_test_cases": case, "metadata": '{"func_name": "arrange"}'}
    method = """class Solution:
    def arrange(self, xs: List[int]) -> List[int]:
        heap = xs[:]
        heapify(heap)
        return [heappop(heap) for _ in xs]"""
    assert judged(code, fenced(method), {"kind": "livecodebench", **columns}).status == "passed"
    columns = {"public_test_cases": '[{"input": "4\\n", "output": "24\\n", "testtype": "stdin"}]'}
    program = """from __future__ import annotations
def f(n: int, unused: List[int] = []) -> int:
    return math.factorial(n)
print(f(int(stdin.readline())))"""
    assert judged(code, fenced(program), {"kind": "livecodebench", **columns}).status == "passed"


def test_state_does_not_outlive_a_run(code):
    leave = "import builtins, sys\nbuiltins.left = 1\nsys.modules['left'] = 1\nprint(3)"
    find = "import builtins, sys\nprint(4 if hasattr(builtins, 'left') or 'left' in sys.modules else 5)"
    judged(code, fenced(leave), SUM)
    assert judged(code, fenced(find), {"kind": "stdin", "tests": [{"input": "", "output": "5"}]}).status == "passed"


@pytest.mark.parametrize("padding", ["# so it goes\n", "x = 1\n", "so it goes, and on. "])
def test_a_response_of_ten_megabytes_is_judged(code, padding):
    start = time.monotonic()
    long = padding * (10_000_000 // len(padding))
    assert judged(code, long + "\n" + fenced("print(sum(map(int, input().split())))"), SUM).status == "passed"
    assert judged(code, long, SUM).status == "failed"
    assert time.monotonic() - start < 30


@pytest.mark.parametrize("kind", ["int64", "float64"])
def test_humaneval_takes_a_scalar_of_numpy_for_its_number(code, kind):
    source = f"import numpy as np\n\ndef increment(n):\n    return None if n is None else np.{kind}(n) + 1"
    assert judged(code, fenced(source), INCREMENT).status == "passed"
