"""The verifier `math`: is the final answer of a response mathematically equal to a gold answer?

`answers` finds the final answer, `markers` says which `####` or `Answer:` states it, and `prose` what that sentence
states. `spelling` writes gold and answer in one way; `compare` takes them apart with `shapes` and compares the pieces:
`numbers` and `units` exactly, `words` as text, `algebra` with math-verify. `judge` puts this together, `worker` runs it
in a process of its own, `reference` reads what a prompt brings, and `verifier` turns findings into verdicts.

What is equal, in short:

- Numbers are exact; where gold or answer has a decimal point, they may differ by a millionth, and a millionth of their
  size. `50%` is 0.5 and, for a gold that is a percentage, or is one or more, also 50. A unit counts only where both
  sides state a known one. `101_2` is its digits, and its base where both state one.
- `(1, 2]` needs the same brackets and order, a set or a bare list the same elements in any order. A bare list may stand
  for a set, or in order for a tuple. Inside brackets a comma separates, so `(1,080)` is a pair; outside, `1,080` is a
  number. Matrices are compared cell by cell.
- `x = ` counts only where both sides have it. `\\pm` stands for both values. A choice's letter may bring its text.
- Work left to the grader is no answer: an integral, or `12 \\cdot 34` for a number.
- Several answers are one list, which is no single gold; so naming candidates does not help.
"""
