from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mopd_verifiers.code.extract import extract


def source(response: str) -> str | None:
    found = extract(response)
    return found and found.source


CASES = {
    "one block": ("Here:\n```python\nprint(1)\n```\nDone.", "print(1)\n"),
    "last of two": ("```python\na\n```\nbetter:\n```python\nb\n```", "b\n"),
    "no tag": ("```\nprint(1)\n```", "print(1)\n"),
    "tildes": ("~~~python\nprint(1)\n~~~\n", "print(1)\n"),
    "py": ("```py\nprint(1)\n```", "print(1)\n"),
    "python3, capitals": ("```Python3\nprint(1)\n```", "print(1)\n"),
    "attributes": ('```{.python .numberLines}\nprint(1)\n```\n```json\n{"a": 1}\n```', "print(1)\n"),
    "title": ("```python title='a.py'\nprint(1)\n```\n```\nout\n```", "print(1)\n"),
    "output afterwards": ("```python\nprint(1)\n```\nOutput:\n```\n1\n```", "print(1)\n"),
    "tagged output afterwards": ("```\nprint(1)\n```\n```text\n1\n```", "print(1)\n"),
    "shell before and after": ("```bash\nls\n```\n```python\nprint(1)\n```\n```sh\nls\n```", "print(1)\n"),
    "pycon is not Python": ("```python\nprint(1)\n```\n```pycon\n>>> 1\n```", "print(1)\n"),
    "another tag alone": ("```c++\nint x;\n```", "int x;\n"),
    "left open": ("```python\nprint(1)\nprint(2)", "print(1)\nprint(2)"),
    "left open, then begun again": ("```python\na\nNo, wait.\n```python\nb\n```", "b\n"),
    "empty block afterwards": ("```python\nprint(1)\n```\n```python\n\n```", "print(1)\n"),
    "CRLF": ("```python\r\nif 1:\r\n    print(1)\r\n```\r\n", "if 1:\n    print(1)\n"),
    "indented fence": ("1. So:\n   ```python\n   if 1:\n       print(1)\n   ```\n", "if 1:\n    print(1)\n"),
    "tab before the fence": ("\t```python\n\tif 1:\n\t\tprint(1)\n\t```\n", "if 1:\n\tprint(1)\n"),
    "body only": ("```python\n    return 1\n```", "    return 1\n"),
    "longer fence": ("````python\nx = '''\n```\n'''\n````", "x = '''\n```\n'''\n"),
    "longer closing fence": ("```python\nx\n`````\nprose", "x\n"),
    "shorter fence does not close": ("`````\na\n```\nb\n`````", "a\n```\nb\n"),
    "tildes do not close backticks": ("```\na\n~~~\nb\n```", "a\n~~~\nb\n"),
    "fence within a docstring": (
        '```python\ndef f():\n    """\n    ```python\n    f()\n    ```\n    """\n    return 1\n```',
        'def f():\n    """\n    ```python\n    f()\n    ```\n    """\n    return 1\n',
    ),
    "backticks within a line": ("```python\ns = '```'\n```", "s = '```'\n"),
    "Markdown around it": ("````markdown\n# Title\n```python\nprint(1)\n```\n````", "print(1)\n"),
    "Markdown without a program": ("````md\nprint(1)\n````", "print(1)\n"),
    "inline code is no fence": ("Use ```x``` here.\n```python\nprint(1)\n```", "print(1)\n"),
    "thinking": ("<think>```python\nwrong\n```</think>\n```python\nright\n```", "right\n"),
    "program only in the thinking": ("<think>\n```python\nx\n```\n</think>\n", None),
    "no fence": ("print(1)\nprint(2)", "print(1)\nprint(2)\n"),
    "no fence, body only": ("\n\n    return 1\n", "    return 1\n"),
    "nothing": ("", None),
    "white space": (" \n\t\r\n", None),
    "empty blocks": ("```\n```\n```python\n```", None),
    "only a fence": ("```python", None),
}


@pytest.mark.parametrize(("response", "expected"), CASES.values(), ids=CASES)
def test_what_is_found(response, expected):
    assert source(response) == expected


@pytest.mark.parametrize(("response", "fenced"), [("```\nx\n```", True), ("~~~\nx", True), ("x", False)])
def test_whether_it_was_fenced(response, fenced):
    assert extract(response).fenced is fenced


FRAGMENTS = [
    "```",
    "````",
    "~~~",
    "python",
    "py",
    "json",
    "\n",
    "\r\n",
    " ",
    "    ",
    "\t",
    "`",
    "x = 1",
    "</think>",
    "\x00",
]


@given(st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=5), max_size=60).map("".join))
def test_any_text_gives_a_part_of_it_or_nothing(response):
    found = extract(response)
    if found is not None:
        assert found.source.strip()
        assert set(found.source) <= set(response) | {"\n"}


@given(
    st.lists(st.text(alphabet="ab \n=~", min_size=1), min_size=1, max_size=5).filter(lambda texts: texts[-1].strip())
)
def test_the_last_of_many_programs_comes_back_whole(programs):
    response = "\n".join(f"```python\n{program}\n```\nprose" for program in programs)
    assert source(response) == f"{programs[-1]}\n"


MEGABYTES = 10_000_000
LONG = {
    "lines": "\n" * MEGABYTES,
    "backticks": "`" * MEGABYTES,
    "spaces": " " * MEGABYTES,
    "blocks": "```\nx\n```\n" * (MEGABYTES // 10),
    "open blocks": "```python\n" * (MEGABYTES // 10),
    "no fences": "~~~a`\n" * (MEGABYTES // 6),
    "shrinking fences": "\n".join("`" * length for length in range(4400, 3, -1)),
    "Markdown in Markdown": "`````md\n````md\nx\n" * (MEGABYTES // 17),
    "thoughts": "</think>" * (MEGABYTES // 8),
    "indented": " " * (MEGABYTES // 2) + "```\nx\n" + " " * (MEGABYTES // 2),
}


@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
def test_ten_megabytes_take_seconds(text):
    start = time.perf_counter()
    assert source(f"{text}\n```python\nprint(1)\n```\n") is not None
    assert time.perf_counter() - start < 15
