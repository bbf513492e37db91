"""What each built-in teacher is: its arithmetic, and whose weights it reads."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mopd_core.errors import ConfigError
from mopd_core.output_head import Head
from mopd_core.teachers import ema, frozen, live, trust_region
from mopd_core.teachers.config import EmaConfig, FrozenConfig, LiveConfig, TrustRegionConfig
from mopd_core.testing.teachers import teacher_sequences, train_a_little
from mopd_core.testing.tiny import tiny_config, tiny_context, tiny_student
from mopd_core.training.models import flat_hidden


def logits_of(model):
    with torch.no_grad():
        return Head(model)(flat_hidden(model, teacher_sequences()))


def read_all(teacher):
    sequences = teacher_sequences()
    return teacher.read(sequences).logits(torch.arange(len(sequences)))


def fill(model, value):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(value)


def test_ema_moves_by_its_rate_each_step():
    """0, then 0 + 0.25 (8 - 0) = 2, then 2 + 0.25 (8 - 2) = 3.5, then 3.5 + 0.25 (4 - 3.5) = 3.625."""
    student = tiny_student()
    fill(student, 0.0)
    teacher = ema.build(EmaConfig(rate=0.25), tiny_context(student))
    for of_student, expected in ((8.0, 2.0), (8.0, 3.5), (4.0, 3.625)):
        fill(student, of_student)
        teacher.update(student)
        assert all((tensor == expected).all() for tensor in teacher.state_dict().values())


def test_ema_shares_no_memory_with_the_student():
    student = tiny_student()
    teacher = ema.build(EmaConfig(), tiny_context(student))
    before = read_all(teacher)
    assert torch.equal(before, logits_of(student))
    train_a_little(student)
    assert torch.equal(read_all(teacher), before)
    theirs = {parameter.data_ptr() for parameter in student.parameters()}
    assert theirs.isdisjoint(tensor.data_ptr() for tensor in teacher.state_dict().values())


def test_ema_keeps_tied_weights_tied():
    teacher = ema.build(EmaConfig(), tiny_context(tiny_student()))
    assert teacher.model.get_output_embeddings().weight is teacher.model.get_input_embeddings().weight
    assert "lm_head.weight" not in teacher.state_dict()


def test_ema_is_not_trained():
    student = tiny_student().train()
    teacher = ema.build(EmaConfig(), tiny_context(student))
    assert not any(parameter.requires_grad for parameter in teacher.model.parameters())
    assert not teacher.model.training
    assert all(parameter.requires_grad for parameter in student.parameters())


def test_live_reads_the_student_as_it_is():
    student = tiny_student()
    teacher = live.build(LiveConfig(), tiny_context(student))
    train_a_little(student)
    assert torch.equal(read_all(teacher), logits_of(student))


def test_frozen_stays_the_initial_student():
    student = tiny_student()
    teacher = frozen.build(FrozenConfig(), tiny_context(student))
    initial = logits_of(student)
    train_a_little(student)
    teacher.update(student)
    assert torch.equal(read_all(teacher), initial)
    assert teacher.state_dict() == {}


@pytest.mark.parametrize(("path", "loaded"), [(None, "tiny"), ("elsewhere", "elsewhere")])
def test_frozen_loads_the_path_it_is_given_and_else_the_students(path, loaded):
    asked = []
    context = tiny_context(tiny_student())
    other = tiny_student(seed=5)

    def load(path):
        asked.append(path)
        return other

    teacher = frozen.build(FrozenConfig(path=path), replace(context, load_model=load))
    assert asked == [loaded]
    assert torch.equal(read_all(teacher), logits_of(other))


def test_frozen_refuses_another_vocabulary():
    context = replace(tiny_context(tiny_student()), load_model=lambda path: tiny_student(tiny_config(vocab_size=41)))
    with pytest.raises(ConfigError, match=r"teacher\.path other has a vocabulary of 41, the student of 40"):
        frozen.build(FrozenConfig(path="other"), context)


def test_trust_region_mixes_logits():
    student = tiny_student()
    initial = logits_of(student)
    teachers = {
        weight: trust_region.build(TrustRegionConfig(current_weight=weight), tiny_context(student))
        for weight in (0.0, 0.25, 1.0)
    }
    train_a_little(student)
    current = logits_of(student)
    assert not torch.allclose(current, initial, atol=1e-2)
    assert torch.equal(read_all(teachers[0.0]), initial)
    torch.testing.assert_close(read_all(teachers[1.0]), current)
    torch.testing.assert_close(read_all(teachers[0.25]), 0.75 * initial + 0.25 * current)
