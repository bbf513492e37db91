"""Processes that judge: started lazily, reused, killed when an item takes too long, replaced when they die.

`pool` hands jobs to workers, `process` is one worker seen from here, `child` is what runs inside it. A verifier brings
a module that calls `child.serve` with its handler, and turns outcomes into verdicts.
"""
