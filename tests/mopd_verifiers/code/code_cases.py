"""Problems and programs that several test files use."""

from __future__ import annotations

from mopd_core.types import Verdict, VerifyItem

SUM = {"kind": "stdin", "tests": [{"input": "1 2\n", "output": "3\n"}, {"input": "2 2\n", "output": "4\n"}]}
DOUBLE = {
    "kind": "function",
    "entry_point": "double",
    "tests": [
        {"args": [1], "expected": 2},
        {"args": [[0]], "expected": [0, 0]},
        {"kwargs": {"n": "a"}, "expected": "aa"},
    ],
}
PROMPT = '''from typing import Optional

def helper(n: int) -> int:
    return n + 1

def increment(n: Optional[int]):
    """Add one."""
'''
CHECK = """def check(candidate):
    assert candidate(1) == helper(1)
    assert candidate(
        -1
    ) == 0
"""
INCREMENT = {"kind": "humaneval", "prompt": PROMPT, "entry_point": "increment", "test": CHECK}


def fenced(source: str) -> str:
    return f"```python\n{source}\n```"


def judged(verifier, response: str, reference) -> Verdict:
    (verdict,) = verifier.verify([VerifyItem(response, reference, prompt_id="p-1")])
    return verdict
