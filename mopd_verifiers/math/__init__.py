"""The verifier `math`: is the final answer of a response mathematically equal to the gold answer?

`answers` finds the final answer, `markers` says which `####` or `Answer:` states it, `plain` compares plain numbers and
words exactly, `judge` asks math-verify about the rest, `worker` runs them in a process of its own, and `verifier` turns
what it says into verdicts.
"""
