from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mopd_verifiers.unit_tests.sources import find_sources

FENCE = "```"


def found(response, modules=("solution",), require_fence=False):
    return find_sources(response, modules, require_fence=require_fence)


def block(info, text="x = 1", above=""):
    return f"{above}\n{FENCE}{info}\n{text}\n{FENCE}\n"


@pytest.mark.parametrize(
    "response",
    [
        block("python a/b.py"),
        block("a/b.py"),
        block("python:a/b.py"),
        block('python title="a/b.py"'),
        block("python file=a/b.py"),
        block("python {a/b.py}"),
        block("python", above="a/b.py"),
        block("python", above="**a/b.py**"),
        block("python", above="`a/b.py`:"),
        block("python", above="### a/b.py\n"),
        block("python", above="2. `a/b.py`"),
        block("python", above="File: a/b.py"),
        block("", above="Filename: `a/b.py`"),
    ],
)
def test_a_name_beside_its_block(response):
    assert found(f"Here:\n{response}") == {"a/b.py": "x = 1\n"}


@pytest.mark.parametrize("comment", ["# a/b.py", "#a/b.py", "# file: a/b.py", "# Filename: a/b.py"])
def test_a_name_in_its_first_comment(comment):
    assert found(block("python", f"{comment}\nx = 1")) == {"a/b.py": f"{comment}\nx = 1\n"}


@pytest.mark.parametrize(
    "response",
    [
        block("python"),
        block("python", above="As in a.py we do this:"),
        block("python", "# see a.py for more\nx = 1").replace("# see a.py for more\n", ""),
        block("python ../a.py"),
        block("python /etc/a.py"),
        block("python a.pyc"),
        block("python", above="python main.py --fast"),
        "x = 1",
    ],
)
def test_what_has_no_name_is_the_module(response):
    assert found(response) == {"solution.py": "x = 1\n"}


def test_the_last_block_of_a_name_counts():
    assert found(block("a.py", "old") + block("a.py", "new") + block("b.py", "b")) == {"a.py": "new\n", "b.py": "b\n"}


def test_an_unnamed_block_beside_named_ones_is_the_module_unless_one_has_its_name():
    assert found(block("a.py") + block("python", "main")) == {"a.py": "x = 1\n", "solution.py": "main\n"}
    assert found(block("solution.py") + block("python", "use")) == {"solution.py": "x = 1\n"}
    packaged = block("shop/__init__.py") + block("python", "use")
    assert found(packaged, ["shop"]) == {"shop/__init__.py": "x = 1\n"}
    assert found(block("python"), ["shop.cart"]) == {"shop/cart.py": "x = 1\n"}


def test_only_what_is_said_after_thinking_counts():
    assert found(f"<think>{block('a.py')}</think>{block('python', 'y')}") == {"solution.py": "y\n"}


@pytest.mark.parametrize("response", ["", " \n", block("python", ""), "<think>x</think>"])
def test_nothing(response):
    assert found(response) == {}


def test_a_fence_may_be_required():
    assert found("x = 1", require_fence=True) == {}
    assert found(block(""), require_fence=True) == {"solution.py": "x = 1\n"}


@given(st.text(st.sampled_from("`~\n# ab./:py\"'*"), max_size=200))
def test_any_text_gives_safe_paths(text):
    for path in found(text):
        assert not path.startswith("/")
        assert ".." not in path.split("/")
        assert path.endswith(".py")


@pytest.mark.parametrize("piece", ["```a.py\n", "```\n```\n", "# a/", "\n" * 9, "`" * 50, "a/" * 99, "x.py "])
def test_long_responses_are_read_in_linear_time(piece):
    start = time.perf_counter()
    found(piece * (1_000_000 // len(piece)))
    assert time.perf_counter() - start < 20
