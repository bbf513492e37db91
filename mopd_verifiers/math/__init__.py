"""The verifier `math`: is the final answer of a response mathematically equal to the gold answer?

`answers` finds the final answer, `plain` compares plain numbers and words exactly, `judge` asks math-verify about the
rest, `worker` runs the three in a process of its own, and `verifier` turns what it says into verdicts.
"""
