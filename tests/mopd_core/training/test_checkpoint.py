"""Checkpoints: complete or absent, exact, and plain Hugging Face folders."""

from __future__ import annotations

import copy
import json
import shutil

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, Gemma3TextConfig, LlamaConfig, Qwen3MoeConfig

from mopd_core.bundled.chat import build_tokenizer
from mopd_core.config.sections import TrainingConfig
from mopd_core.errors import CheckpointError
from mopd_core.teachers.ema import EmaTeacher
from mopd_core.teachers.frozen import FrozenTeacher
from mopd_core.testing.tiny import tiny_config, tiny_student
from mopd_core.training.checkpoint import Checkpoints, TrainerState, is_complete
from mopd_core.training.optimiser import build_optimiser


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer(["12 + 3"] * 5, 280, max_length=128)


@pytest.fixture
def make_checkpoints(tmp_path, tokenizer):
    """Makes what a run saves: a student that has been trained for `steps` steps, its optimiser and its teacher."""

    def make(steps=3, config=None, with_teacher=True, folder=tmp_path / "checkpoints"):
        student = tiny_student(config or tiny_config(vocab_size=300))
        teacher = EmaTeacher(student, 0.3) if with_teacher else None
        checkpoints = Checkpoints(folder, student, tokenizer, build_optimiser(student, TrainingConfig()), teacher)
        for step in range(steps):
            train(checkpoints, step)
        return checkpoints

    return make


def train(checkpoints, seed):
    ids = torch.randint(0, 300, (2, 9), generator=torch.Generator().manual_seed(seed))
    checkpoints.student.set_attn_implementation("sdpa")
    checkpoints.student(ids, labels=ids).loss.backward()
    checkpoints.student.set_attn_implementation("mopd_flat")
    checkpoints.optimiser.step()
    checkpoints.optimiser.zero_grad()
    if checkpoints.teacher is not None:
        checkpoints.teacher.update(checkpoints.student)


def tensors(value):
    """Every tensor in a nested state."""
    if isinstance(value, torch.Tensor):
        return [value]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else []
    return [tensor for item in items for tensor in tensors(item)]


def everything(checkpoints):
    parts = [checkpoints.student.state_dict(), checkpoints.optimiser.state_dict()]
    return tensors([*parts, checkpoints.teacher.state_dict() if checkpoints.teacher else {}])


def assert_bitwise_equal(one, other):
    assert len(everything(one)) == len(everything(other)) > 20
    assert all(torch.equal(a, b) for a, b in zip(everything(one), everything(other), strict=True))


STATE = TrainerState(
    step=3,
    best_step=2,
    best_score=0.625,
    non_finite_in_a_row=1,
    skipped_steps=2,
    rollouts=24,
    tokens=1000,
    seconds=1.25,
    before={"mean@8": 0.5, "pass@8": 0.75},
)


@pytest.mark.parametrize(
    "config",
    [
        None,
        tiny_config(LlamaConfig, vocab_size=300, tie_word_embeddings=False),
        tiny_config(Qwen3MoeConfig, vocab_size=300, num_experts=4, moe_intermediate_size=16, num_experts_per_tok=2),
    ],
    ids=["tied", "untied", "experts, which a checkpoint names otherwise"],
)
def test_what_is_loaded_is_what_was_saved_bit_for_bit(make_checkpoints, config):
    saved = make_checkpoints(config=config)
    folder = saved.save(STATE)
    fresh = make_checkpoints(steps=0, config=config)
    assert fresh.load(folder) == STATE
    assert_bitwise_equal(fresh, saved)
    for checkpoints in (saved, fresh):
        train(checkpoints, 9)
    assert_bitwise_equal(fresh, saved)
    assert all(not torch.equal(a, b) for a, b in zip(everything(fresh), everything(make_checkpoints(0)), strict=False))


def test_a_teacher_without_a_state_is_saved_as_one(make_checkpoints):
    checkpoints = make_checkpoints(with_teacher=False)
    frozen = Checkpoints(
        checkpoints.folder,
        checkpoints.student,
        checkpoints.tokenizer,
        checkpoints.optimiser,
        FrozenTeacher(copy.deepcopy(checkpoints.student)),
    )
    assert frozen.load(frozen.save(STATE)) == STATE


@pytest.mark.parametrize(
    "config",
    [
        None,
        tiny_config(LlamaConfig, vocab_size=300, tie_word_embeddings=False),
        tiny_config(Gemma3TextConfig, vocab_size=300, final_logit_softcapping=3.0),
    ],
    ids=["qwen3", "llama", "gemma3"],
)
def test_the_folder_is_a_plain_hugging_face_model(make_checkpoints, plain, config):
    checkpoints = make_checkpoints(config=config)
    folder = checkpoints.save(STATE)
    assert "mopd" not in (folder / "config.json").read_text()
    loaded, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert loaded.config._attn_implementation == "sdpa"
    chat = [{"role": "user", "content": "12 + 3"}]
    ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=False)
    assert ids == checkpoints.tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=False)
    with torch.no_grad():
        logits = loaded.eval()(torch.tensor([ids])).logits[0]
        assert torch.equal(logits, plain(checkpoints.student, ids, "logits"))


def names(checkpoints):
    return sorted(path.name for path in checkpoints.folder.iterdir())


def test_only_the_last_and_the_best_stay(make_checkpoints):
    checkpoints = make_checkpoints()
    history = []
    for step, best in ((1, 0), (2, 2), (3, 2), (4, 2), (5, 5), (6, 5)):
        checkpoints.save(TrainerState(step=step, best_step=best))
        links = {link: (checkpoints.folder / link).resolve().name for link in ("last", "best")}
        history.append((names(checkpoints), links["last"], links["best"] if best else None))
    assert history == [
        (["last", "step-000001"], "step-000001", None),
        (["best", "last", "step-000002"], "step-000002", "step-000002"),
        (["best", "last", "step-000002", "step-000003"], "step-000003", "step-000002"),
        (["best", "last", "step-000002", "step-000004"], "step-000004", "step-000002"),
        (["best", "last", "step-000005"], "step-000005", "step-000005"),
        (["best", "last", "step-000005", "step-000006"], "step-000006", "step-000005"),
    ]


def test_links_are_relative_so_that_a_run_can_be_moved(make_checkpoints, tmp_path):
    checkpoints = make_checkpoints()
    checkpoints.save(TrainerState(step=2, best_step=2))
    moved = shutil.move(checkpoints.folder, tmp_path / "elsewhere")
    assert is_complete(moved / "last")
    assert is_complete(moved / "best")


def flip_a_byte(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut(path):
    path.write_bytes(path.read_bytes()[:-20])


def delete(path):
    path.unlink()


FILES = [
    "model.safetensors",
    "config.json",
    "tokenizer.json",
    "trainer/optimizer.pt",
    "trainer/teacher.safetensors",
    "trainer/state.json",
]


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        *((file, damage) for file in FILES for damage in (flip_a_byte, delete)),
        *((file, damage) for file in ("manifest.json", "model.safetensors") for damage in (cut, delete)),
    ],
)
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(make_checkpoints, file, damage):
    checkpoints = make_checkpoints()
    assert checkpoints.newest() is None
    first = checkpoints.save(TrainerState(step=1, best_step=1))
    second = checkpoints.save(TrainerState(step=2, best_step=1))
    assert checkpoints.newest() == second
    damage(second / file)
    assert not is_complete(second)
    assert checkpoints.newest() == first


@pytest.mark.parametrize("text", ["", "null", "[]", "3", '{"step": 1}', '{"sha256": null}', '{"sha256": []}', "{"])
def test_a_manifest_of_another_shape_is_no_manifest(make_checkpoints, text):
    checkpoints = make_checkpoints()
    folder = checkpoints.save(STATE)
    (folder / "manifest.json").write_text(text)
    assert not is_complete(folder)


def test_a_damaged_checkpoint_of_the_same_step_is_written_anew(make_checkpoints):
    checkpoints = make_checkpoints()
    folder = checkpoints.save(STATE)
    delete(folder / "model.safetensors")
    assert checkpoints.save(STATE) == folder
    assert is_complete(folder)


def test_the_manifest_names_every_other_file(make_checkpoints):
    folder = make_checkpoints().save(STATE)
    manifest = json.loads((folder / "manifest.json").read_text())
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert found - manifest["sha256"].keys() == {"manifest.json"}
    assert manifest["step"] == 3
    assert set(FILES) <= found


def test_nothing_stands_under_the_name_until_it_is_whole(make_checkpoints, monkeypatch):
    checkpoints = make_checkpoints()
    monkeypatch.setattr(torch, "save", lambda *arguments: (_ for _ in ()).throw(OSError("the disk is full")))
    with pytest.raises(OSError, match="disk is full"):
        checkpoints.save(STATE)
    assert checkpoints.newest() is None
    assert not (checkpoints.folder / "last").exists()


def test_a_checkpoint_of_another_model_is_an_error(make_checkpoints):
    folder = make_checkpoints().save(STATE)
    larger = make_checkpoints(steps=0, config=tiny_config(vocab_size=300, num_hidden_layers=3))
    with pytest.raises(CheckpointError, match=r"no weights for 'model\.layers\.2.*another model"):
        larger.load(folder)
