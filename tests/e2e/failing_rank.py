"""`mopd` in which rank 1 fails in its second step; for `test_two_ranks`."""

from __future__ import annotations

import os

from cli import main
from mopd_core.errors import GeneratorError
from mopd_core.training.learner import Learner

learn = Learner.learn
steps = iter(range(1, 100))


def learn_or_fail(self, batch, lr):
    if next(steps) == 2 and os.environ["RANK"] == "1":
        raise GeneratorError("the server is gone")
    return learn(self, batch, lr)


Learner.learn = learn_or_fail
main()
