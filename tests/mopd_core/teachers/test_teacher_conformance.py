"""The conformance suite that plugin authors get, on every built-in, and on teachers that it has to refuse."""

from __future__ import annotations

import copy

import pytest

from mopd_core.teachers import ema, frozen, live, trust_region
from mopd_core.teachers.config import EmaConfig, FrozenConfig, LiveConfig, TrustRegionConfig
from mopd_core.teachers.ema import EmaTeacher
from mopd_core.testing.teachers import TeacherSuite


class TestEma(TeacherSuite):
    @pytest.fixture
    def new_teacher(self):
        return lambda context: ema.build(EmaConfig(rate=0.3), context)


class TestLive(TeacherSuite):
    @pytest.fixture
    def new_teacher(self):
        return lambda context: live.build(LiveConfig(), context)


class TestFrozen(TeacherSuite):
    @pytest.fixture
    def new_teacher(self):
        return lambda context: frozen.build(FrozenConfig(), context)


class TestTrustRegion(TeacherSuite):
    @pytest.fixture(params=[0.0, 0.5, 1.0])
    def new_teacher(self, request):
        return lambda context: trust_region.build(TrustRegionConfig(current_weight=request.param), context)


class Forgetful(EmaTeacher):
    """Loses its average when a run is resumed."""

    def load_state_dict(self, state):
        pass


class Freezing(EmaTeacher):
    """Takes the student's gradient away."""

    def __init__(self, student, rate):
        super().__init__(student, rate)
        student.requires_grad_(False)


class Pulling(EmaTeacher):
    """Moves the student, too."""

    def update(self, student):
        super().update(student)
        for theirs, mine in zip(student.parameters(), self.model.parameters(), strict=True):
            theirs.data.lerp_(mine + 1, 0.1)


class Attached(EmaTeacher):
    """Scores with gradient."""

    def read(self, sequences):
        read = copy.copy(super().read(sequences))
        read.hidden.requires_grad_()
        read.logits = lambda rows: read.head(read.hidden[rows])
        return read


@pytest.mark.parametrize(
    ("broken", "test"),
    [
        (Forgetful, "test_a_resumed_teacher_goes_on_exactly"),
        (Freezing, "test_leaves_the_student_alone"),
        (Pulling, "test_leaves_the_student_alone"),
        (Attached, "test_gives_logits_without_gradient_for_every_row"),
    ],
)
def test_the_suite_refuses_a_broken_teacher(broken, test):
    with pytest.raises(AssertionError):
        getattr(TeacherSuite(), test)(lambda context: broken(context.student, 0.3))
