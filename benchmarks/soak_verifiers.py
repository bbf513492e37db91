"""Many mixed verifications in one process, hostile ones among them: does anything grow, and is anything left?

Every batch mixes `code` (stdin, function and HumanEval-like problems, honest, wrong and hostile), `unit-tests`, `math`,
`choice` and `tool-use`. After each tenth of the work, what is held is counted: memory of this process and of all its
workers, open descriptors, threads, child processes, and files in the temporary folder.

    python benchmarks/soak_verifiers.py [--items 20000] [--workers 2]

The last line is JSON: {"soak.memory_growth": from the end of the first tenth to the last, ...}. The exit code is 1
where memory grew by more than 5%, anything was left, or a verdict was wrong.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "mopd_verifiers" / "hostile"))

from grading import HERE, header

from mopd_core.config.load import load_verifier
from mopd_core.contexts import RunContext
from mopd_core.interfaces import Verifier
from mopd_core.registry import installed
from mopd_core.types import VerifyItem
from mopd_core.verification.router import close_verifier

BATCH = 200
LIMIT_S = 0.5
"""Of hostile programs, many of which run for ever; honest ones have ten seconds."""
MOST_GROWTH = 0.05
SLOW_SHARE = 0.01
"""How many of the items are attacks; each that hangs holds a worker for its whole limit."""


@dataclass(frozen=True, slots=True)
class Case:
    """An item, which verifier judges it, and what the verdict has to be."""

    verifier: str
    item: VerifyItem
    status: str


@dataclass(frozen=True, slots=True)
class Held:
    """What is held at one moment. Memory in MiB."""

    own_mb: float
    workers_mb: float
    descriptors: int
    threads: int
    processes: int
    files: int


def cases(rng: random.Random) -> Iterator[Case]:
    """An endless mixture."""
    attacks = list(attack_cases())
    makers = (stdin_case, function_case, humaneval_case, unit_tests_case, math_case, choice_case, tool_use_case)
    while True:
        yield rng.choice(attacks) if rng.random() < SLOW_SHARE else rng.choice(makers)(rng)


def attack_cases() -> Iterator[Case]:
    """The stdin and function attacks of the hostile suite whose placeholders need no stage."""
    for path in sorted((HERE / "attacks").glob("*.py")):
        source = path.read_text()
        about = header(source)
        wanted = about.get("expected", "the answer")
        body = "\n".join(line for line in source.splitlines() if not line.startswith("# "))
        if about["kind"] == "unit-tests" or "@" in body or "@" in wanted:
            continue
        references = {
            "stdin": {"kind": "stdin", "tests": [{"input": "", "output": wanted}]},
            "function": {"kind": "function", "entry_point": "solve", "tests": [{"args": [7], "expected": wanted}]},
            "humaneval": {
                "kind": "humaneval",
                "prompt": "def solve(n):\n    pass\n",
                "entry_point": "solve",
                "test": f"def check(candidate):\n    assert candidate(7) == {wanted!r}\n",
            },
        }
        reference = {**references[about["kind"]], "timeout_s": LIMIT_S}
        yield Case("code", VerifyItem(f"```python\n{source}```", reference, path.stem), "failed")


def stdin_case(rng: random.Random) -> Case:
    a, b, right = rng.randint(0, 10**9), rng.randint(0, 10**9), rng.random() < 0.5
    program = f"a, b = map(int, input().split())\nprint(a + b{'' if right else ' + 1'})\n"
    reference = {"kind": "stdin", "tests": [{"input": f"{a} {b}", "output": str(a + b)}]}
    return Case("code", VerifyItem(f"```python\n{program}```", reference, "stdin"), "passed" if right else "failed")


def function_case(rng: random.Random) -> Case:
    values, right = [rng.randint(0, 99) for _ in range(20)], rng.random() < 0.5
    program = f"def solve(values):\n    return sorted(values){'' if right else '[::-1] + [0]'}\n"
    reference = {
        "kind": "function",
        "entry_point": "solve",
        "tests": [{"args": [values], "expected": sorted(values)}, {"args": [[]], "expected": []}],
    }
    return Case("code", VerifyItem(f"```python\n{program}```", reference, "function"), "passed" if right else "failed")


def humaneval_case(rng: random.Random) -> Case:
    right = rng.random() < 0.5
    program = f"def double(n):\n    return {'2 * n' if right else 'None'}\n"
    reference = {
        "kind": "humaneval",
        "prompt": 'def double(n):\n    """Twice n."""\n',
        "entry_point": "double",
        "test": f"def check(candidate):\n    assert candidate({(n := rng.randint(1, 999))}) == {2 * n}\n",
    }
    return Case("code", VerifyItem(f"```python\n{program}```", reference, "humaneval"), "passed" if right else "failed")


def unit_tests_case(rng: random.Random) -> Case:
    right, n = rng.random() < 0.5, rng.randint(1, 99)
    program = f"class Stack(list):\n    def peek(self):\n        return self[{-1 if right else 0}]\n"
    test = f"from solution import Stack\n\n\ndef test_peek():\n    s = Stack()\n    s.append(0)\n    s.append({n})\n"
    reference = {"module": "solution", "files": {"test_it.py": f"{test}    assert s.peek() == {n}\n"}, "n_tests": 1}
    item = VerifyItem(f"```python\n{program}```", reference, "unit-tests")
    return Case("unit-tests", item, "passed" if right else "failed")


def math_case(rng: random.Random) -> Case:
    a, b, right = rng.randint(2, 10**6), rng.randint(2, 10**6), rng.random() < 0.5
    response = f"So it is $\\boxed{{\\frac{{{a}}}{{{b + (not right)}}}}}$."
    return Case("math", VerifyItem(response, f"\\frac{{{a}}}{{{b}}}", "math"), "passed" if right else "failed")


def choice_case(rng: random.Random) -> Case:
    gold, letter = rng.choice("ABCD"), rng.choice("ABCD")
    item = VerifyItem(f"<answer>\n{letter}\n</answer>", gold, "choice")
    return Case("choice", item, "passed" if letter == gold else "failed")


def tool_use_case(rng: random.Random) -> Case:
    n, right = rng.randint(0, 999), rng.random() < 0.5
    response = f'Thought: look\nAction: find\nAction Input: {{"id": {n + (not right)}, "tags": ["a", {{"b": 1}}]}}'
    reference = [{"Action": "find", "Action_Input": json.dumps({"id": n, "tags": ["a", {"b": 1}]})}]
    return Case("tool-use", VerifyItem(response, reference, "tool-use"), "passed" if right else "failed")


def held(folder: Path) -> Held:
    """Count what this process and everything below it holds."""
    gc.collect()
    below = descendants(os.getpid())
    return Held(
        own_mb=proportional_mb(os.getpid()),
        workers_mb=sum(map(proportional_mb, below)),
        descriptors=len(list(Path("/proc/self/fd").iterdir())),
        threads=threading.active_count(),
        processes=len(below),
        files=sum(1 for _ in folder.rglob("*")),
    )


def descendants(process: int) -> list[int]:
    """Processes below this one."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found, queue = [], [process]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += below
    return found


def proportional_mb(process: int) -> float:
    """Memory of one process, shared pages divided by their users (what a fork shares is counted once)."""
    try:
        text = Path(f"/proc/{process}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) / 1024


def judge(verifiers: dict[str, Verifier], batch: list[Case]) -> int:
    """Judge a batch, each verifier its own items at the same time as the others; how many verdicts were wrong."""
    wrong: list[Case] = []

    def work(name: str) -> None:
        own = [case for case in batch if case.verifier == name]
        for case, verdict in zip(own, verifiers[name].verify([case.item for case in own]), strict=True):
            if verdict.status != case.status:
                wrong.append(case)
                print(f"wrong: {case.item.prompt_id}: {verdict.status}, {verdict.feedback!r}", file=sys.stderr)

    threads = [threading.Thread(target=work, args=(name,)) for name in verifiers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(wrong)


def build(workers: int) -> dict[str, Verifier]:
    """The verifiers of the mixture, by name."""
    registries = installed()
    verifiers: dict[str, Verifier] = {}
    for name in ("code", "unit-tests", "math", "choice", "tool-use"):
        pooled = name in ("code", "unit-tests", "math")
        choice = load_verifier(name, registries, [f"verifier.workers={workers}"] if pooled else [])
        verifiers[name] = registries["verifiers"].build(choice, RunContext(0, registries, None))
    return verifiers


def soak(verifiers: dict[str, Verifier], items: int, folder: Path) -> tuple[list[Held], int]:
    """Judge so many items; what is held after each tenth, and how many verdicts were wrong."""
    source, counts, wrong = cases(random.Random(0)), Counter[str](), 0
    marks: list[Held] = []
    columns = ("items", "own MiB", "workers MiB", "descriptors", "threads", "processes", "files")
    print("".join(f"{column:>13}" for column in columns))
    for done in range(BATCH, items + 1, BATCH):
        batch = [next(source) for _ in range(BATCH)]
        counts.update(f"{case.verifier} {case.status}" for case in batch)
        wrong += judge(verifiers, batch)
        if done % (items // 10) < BATCH:
            marks.append(held(folder))
            print(f"{done:13}" + "".join(f"{value:13.0f}" for value in astuple(marks[-1])), flush=True)
    print(f"{counts.total()} items: {dict(sorted(counts.items()))}")
    return marks, wrong


def main() -> None:
    parser = argparse.ArgumentParser(description="Many mixed verifications in one process.")
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()

    with tempfile.TemporaryDirectory(prefix="mopd-soak-") as name:
        tempfile.tempdir, folder = name, Path(name)
        before, start = held(folder), time.perf_counter()
        verifiers = build(options.workers)
        marks, wrong = soak(verifiers, options.items, folder)
        for verifier in verifiers.values():
            close_verifier(verifier)
        duration_s, after = time.perf_counter() - start, held(folder)
    own = marks[-1].own_mb / marks[0].own_mb - 1
    workers = marks[-1].workers_mb / marks[0].workers_mb - 1
    left = {
        field: getattr(after, field) - getattr(before, field)
        for field in ("descriptors", "threads", "processes", "files")
    }
    print(f"{duration_s:.0f} s; {wrong} wrong verdicts; left after closing: {left}")
    print(f"memory from the first tenth's end to the last: {own:+.1%} this process, {workers:+.1%} its workers")
    growth, remains = max(own, workers), sum(map(abs, left.values()))
    print(json.dumps({"soak.memory_growth": round(growth, 4), "soak.left": remains, "soak.wrong": wrong}))
    if growth > MOST_GROWTH or remains or wrong:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
