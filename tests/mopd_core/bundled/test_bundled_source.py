from __future__ import annotations

import subprocess
import sys
from typing import get_args

import pytest
from pydantic import ValidationError

from mopd_core.bundled.families import FAMILIES
from mopd_core.bundled.source import BundledConfig, BundledSource, FamilyName


def load(**options):
    return BundledSource(BundledConfig(**options)).load()


def test_a_prompt_is_one_user_message_with_its_answer_as_reference():
    prompt = load(train=3, held_out=1).train[2]
    problem = FAMILIES["chain"].problems("train", 3, 0)[2]
    assert prompt.id == "chain/train/000002"
    assert prompt.messages == ({"role": "user", "content": problem.question},)
    assert prompt.reference == problem.answer


def test_sizes_are_what_was_asked_for_and_ids_are_unique():
    sets = load(train=30, held_out=7, family="chain-long", seed=5)
    assert (len(sets.train), len(sets.held_out)) == (30, 7)
    assert len({prompt.id for prompt in (*sets.train, *sets.held_out)}) == 37


def test_nothing_held_out_is_trained_on_even_with_another_seed():
    trained = {prompt.messages[0]["content"] for seed in range(3) for prompt in load(train=500, seed=seed).train}
    assert all(prompt.messages[0]["content"] not in trained for prompt in load(held_out=500).held_out)


def test_equal_configs_give_equal_prompts_and_another_seed_gives_others():
    assert load(train=50) == load(train=50)
    assert load(train=50) != load(train=50, seed=1)


def test_every_family_can_be_chosen():
    assert set(get_args(FamilyName)) == set(FAMILIES)


@pytest.mark.parametrize("options", [{"family": "chains"}, {"train": 0}, {"held_out": -1}, {"held-out": 3}])
def test_bad_options_are_refused(options):
    with pytest.raises(ValidationError):
        BundledConfig(**options)


def test_loading_prompts_imports_no_torch():
    code = (
        "import sys; from mopd_core.bundled import model_path; "
        "from mopd_core.bundled.source import BundledConfig, BundledSource; BundledSource(BundledConfig()).load(); "
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
