"""What one process makes of ranks: it is the whole, joins nobody, and names what went wrong elsewhere."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mopd_core.config.sections import TrainingConfig
from mopd_core.errors import ConfigError, GeneratorError, TrainingError
from mopd_core.training import gradients, models
from mopd_core.training.ranks import ALONE, Ranks, _explained, joined
from mopd_core.training.shards import is_split, like, whole

CPU = torch.device("cpu")


class Sharing(Ranks):
    """A rank whose others are asked in turn, without processes."""

    shares = ()

    def gather(self, value):
        return list(self.shares)


@given(items=st.lists(st.integers(), max_size=20), count=st.integers(1, 6))
def test_shares_merge_to_the_whole_in_its_order(items, count):
    Sharing.shares = [Ranks(number, count).mine(items) for number in range(count)]
    assert Sharing(0, count).merge(Sharing.shares[0]) == items


def test_one_process_alone_talks_to_nobody():
    assert ALONE.first
    assert ALONE.gather({"a": 1}) == [{"a": 1}]
    assert ALONE.broadcast("x") == "x"
    assert ALONE.any(True)
    assert not ALONE.any(False)
    assert ALONE.sum(torch.tensor([1.0, 2.0])).tolist() == [1.0, 2.0]


def test_without_a_launcher_one_process_is_rank_0_of_1(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.setenv("WORLD_SIZE", "4")
    with joined(TrainingConfig(), CPU) as ranks:
        assert ranks == ALONE
    assert not torch.distributed.is_initialized()


def test_several_processes_are_refused_where_the_config_says_so(monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with (
        pytest.raises(ConfigError, match=r"training\.parallel is none, but 2 processes were started"),
        joined(TrainingConfig(parallel="none"), CPU),
    ):
        pass


@pytest.mark.parametrize(
    ("parallel", "device", "count", "expected"),
    [
        ("auto", "cpu", 2, False),
        ("auto", "cuda", 2, True),
        ("ddp", "cuda", 2, False),
        ("fsdp", "cpu", 2, True),
        ("fsdp", "cuda", 1, False),
    ],
)
def test_what_is_split(parallel, device, count, expected):
    assert is_split(TrainingConfig(parallel=parallel), torch.device(device), Ranks(0, count)) is expected


def test_an_error_says_on_which_rank_it_was():
    found = _explained(GeneratorError("the server is gone"), 3)
    assert isinstance(found, GeneratorError)
    assert str(found) == "rank 3: the server is gone"
    assert str(_explained(GeneratorError("the server is gone"), 0)) == "the server is gone"
    bug = ZeroDivisionError("a bug")
    assert _explained(bug, 3) is bug


def test_a_lost_connection_is_a_lost_rank():
    lost = RuntimeError("[../gloo/transport/tcp/pair.cc:547] Connection closed by peer")
    found = _explained(lost, 0)
    assert isinstance(found, TrainingError)
    assert "another rank ended without a word" in str(found)


def test_a_process_without_a_gpu_of_its_own_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert models.choose_device(TrainingConfig()) == torch.device("cuda", 1)
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(ConfigError, match="more processes were started on this machine than its 2 CUDA devices"):
        models.choose_device(TrainingConfig())


class Doubling(Ranks):
    """Two ranks with the same to add."""

    def sum(self, tensor):
        return tensor.mul_(2)


@pytest.mark.parametrize("entries", [1, 7, 10**6])
def test_gradients_are_summed_bucket_by_bucket_and_none_is_made_up(monkeypatch, entries):
    monkeypatch.setattr(gradients, "BUCKET_ENTRIES", entries)
    model = torch.nn.ModuleList([torch.nn.Linear(3, 2), torch.nn.Linear(2, 4), torch.nn.Linear(2, 2).double()])
    for number, parameter in enumerate(model.parameters()):
        parameter.grad = torch.full_like(parameter, number + 1.0)
    model[1].weight.grad = None
    gradients.sum_gradients(model, Doubling(0, 2))
    found = [None if p.grad is None else set(p.grad.flatten().tolist()) for p in model.parameters()]
    assert found == [{2.0}, {4.0}, None, {8.0}, {10.0}, {12.0}]


def test_clipping_gives_the_norm_that_there_was():
    """Gradients 3 and 4 have norm 5; scaled down to 2.5 they are 1.5 and 2."""
    model = torch.nn.ParameterList([torch.zeros(1), torch.zeros(1)])
    for parameter, value in zip(model, (3.0, 4.0), strict=True):
        parameter.grad = torch.tensor([value])
    assert gradients.clip(model, 2.5) == pytest.approx(5.0)
    assert [parameter.grad.item() for parameter in model] == pytest.approx([1.5, 2.0], rel=1e-5)


def test_what_is_not_split_is_whole():
    tensor = torch.arange(3.0)
    assert whole(tensor) is tensor
    assert like(torch.zeros(3), tensor).tolist() == [0.0, 1.0, 2.0]
