"""Episodes as rollouts: which tokens are in them, whose they are, and what the environment made of them."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from mopd_environments.config import EnvironmentDataConfig, EnvironmentGeneratorConfig, EnvironmentVerifierConfig
from mopd_environments.generator import EnvironmentGenerator
from mopd_environments.outcomes import PlayedOutcomes
from mopd_environments.source import EnvironmentSource
from mopd_environments.verifier import EnvironmentVerifier

from mopd_core.chat import encode_chat
from mopd_core.config.base import PluginChoice
from mopd_core.errors import ConfigError, GeneratorError
from mopd_core.registry import load_plugins
from mopd_core.testing.generators import GeneratorSuite, fresh_log_probs
from mopd_core.types import Rollout, Sampling, VerifyItem

SEEDS = [[1, 2], [3, 4, 5]]


@pytest.fixture
def prompts_of(tokenizer):
    def read(taskset, n=2, **options):
        data = EnvironmentDataConfig(taskset=taskset, options=options, tasks=n, held_out=0)
        prompts = EnvironmentSource(data).load().train
        return [prompt.with_token_ids(encode_chat(tokenizer, prompt.messages)) for prompt in prompts]

    return read


@pytest.fixture
def hf(model, tokenizer):
    from mopd_backends.hf.config import HfConfig
    from mopd_backends.hf.generator import HfGenerator

    return HfGenerator(HfConfig(), model, tokenizer)


@pytest.fixture
def played():
    return PlayedOutcomes()


@pytest.fixture
def player(tokenizer, played):
    open_ones = []

    def build(inner, **options):
        open_ones.append(EnvironmentGenerator(EnvironmentGeneratorConfig(**options), inner, tokenizer, played))
        return open_ones[-1]

    yield build
    for generator in open_ones:
        generator.close()


@pytest.fixture
def sampling(tokenizer):
    return Sampling(max_tokens=90, stop_ids=(tokenizer.eos_token_id,))


class Scripted:
    """A generator whose turns are written down: turn t of every episode is texts[t], and the end of a turn."""

    def __init__(self, tokenizer, texts):
        self.tokenizer, self.texts, self.asked = tokenizer, texts, []

    def generate(self, prompts, sampling, *, seeds):
        self.asked.append([prompt.token_ids.tolist() for prompt in prompts])
        text = self.texts[len(self.asked) - 1]
        ids = np.array([*self.tokenizer.encode(text), self.tokenizer.eos_token_id], dtype=np.int32)
        own, logprobs = np.ones(len(ids), dtype=np.bool_), np.full(len(ids), -0.5, dtype=np.float32)
        return [[Rollout(ids, logprobs, text, "stop", 3, own) for _ in group] for group in seeds]

    def sync_weights(self, weights, version):
        pass

    def close(self):
        pass


class TestConformance(GeneratorSuite):
    """With an environment of one turn; `hf` is what samples."""

    @pytest.fixture
    def model(self, model_path):
        from transformers import AutoModelForCausalLM

        return AutoModelForCausalLM.from_pretrained(model_path).eval()

    @pytest.fixture
    def generator(self, player, hf):
        return player(hf)

    @pytest.fixture
    def prompts(self, prompts_of):
        return [*prompts_of("sums_env"), *prompts_of("odd_env", n=1)]


def test_it_scores_as_the_other_generator_does(player, tokenizer):
    inner = Scripted(tokenizer, [])
    inner.score, inner.score_each = (lambda sequences: ["one"]), (lambda sequences: [["one"], ["one"]])
    mine = player(inner)
    assert (mine.score([]), mine.score_each([])) == (["one"], [["one"], ["one"]])


def test_an_episode_of_one_turn_is_the_other_generators_rollout(player, hf, prompts_of, sampling):
    prompts = prompts_of("sums_env")
    for mine, theirs in zip(
        player(hf).generate(prompts, sampling, seeds=SEEDS), hf.generate(prompts, sampling, seeds=SEEDS), strict=True
    ):
        for one, other in zip(mine, theirs, strict=True):
            assert one.token_ids.tolist() == other.token_ids.tolist()
            assert (one.text, one.finish_reason, one.own.all()) == (other.text, other.finish_reason, True)


def test_the_tokens_are_the_conversation_and_each_is_whose_it_is(player, tokenizer, prompts_of, sampling):
    inner = Scripted(tokenizer, ["5 + 5", "one", "7"])
    (prompt,) = prompts_of("echo_env", n=1)
    ((rollout,),) = player(inner).generate([prompt], sampling, seeds=[[0]])
    whole = tokenizer.decode(np.concatenate([prompt.token_ids, rollout.token_ids]))
    assert whole == (
        "<|user|>0 + 1 =<|end|><|assistant|>5 + 5<|end|><|user|>5 characters; go on:<|end|><|assistant|>one<|end|>"
        "<|user|>3 characters; go on:<|end|><|assistant|>7<|end|>"
    )
    assert tokenizer.decode(rollout.token_ids[rollout.own]) == "5 + 5<|end|>one<|end|>7<|end|>"
    assert np.where(rollout.own, -0.5, 0.0).tolist() == rollout.logprobs.tolist()
    assert (rollout.finish_reason, rollout.version) == ("stop", 3)
    assert rollout.text == (
        "5 + 5\n\n[user]\n5 characters; go on:\n\n[assistant]\none\n\n[user]\n3 characters; go on:\n\n[assistant]\n7"
    )


def test_every_turn_is_sampled_after_exactly_the_ids_before_it(player, tokenizer, prompts_of, sampling):
    """`one` is sampled as o, n, e: what it would be tokenised to does not matter."""
    inner = Scripted(tokenizer, ["", "", ""])
    letters = [tokenizer.encode(letter)[0] for letter in "one"]
    inner.tokenizer = SimpleNamespace(encode=lambda text: letters, eos_token_id=tokenizer.eos_token_id)
    (prompt,) = prompts_of("echo_env", n=1)
    ((rollout,),) = player(inner).generate([prompt], sampling, seeds=[[0]])
    everything = [*prompt.token_ids.tolist(), *rollout.token_ids.tolist()]
    for (asked,) in inner.asked:
        assert everything[: len(asked)] == asked
        assert everything[len(asked) : len(asked) + 4] == [*letters, tokenizer.eos_token_id]
    assert tokenizer.encode("one") != letters


def test_log_probs_of_own_tokens_are_those_of_a_forward_pass_over_everything(player, hf, model, prompts_of, sampling):
    prompts = prompts_of("echo_env")
    turns = 0
    for prompt, group in zip(prompts, player(hf, turn_tokens=9).generate(prompts, sampling, seeds=SEEDS), strict=True):
        for rollout in group:
            expected = np.where(rollout.own, fresh_log_probs(model, prompt, rollout, sampling), 0.0)
            np.testing.assert_allclose(rollout.logprobs, expected, rtol=0, atol=1e-4)
            turns += int((np.diff(rollout.own.astype(int)) == 1).sum()) + 1
    assert turns == 15


def test_a_rollout_depends_on_its_seed_and_not_on_its_company(player, hf, prompts_of, sampling):
    prompts = prompts_of("echo_env")
    together = player(hf, turn_tokens=9).generate(prompts, sampling, seeds=SEEDS)
    one = player(hf, turn_tokens=9, concurrency=1)
    for prompt, group, seeds in zip(prompts, together, SEEDS, strict=True):
        for rollout, seed in zip(group, seeds, strict=True):
            ((alone,),) = one.generate([prompt], sampling, seeds=[[seed]])
            assert alone.token_ids.tolist() == rollout.token_ids.tolist()
    assert together[0][0].token_ids.tolist() != together[0][1].token_ids.tolist()


def test_fewer_episodes_at_once_give_the_same_rollouts(player, hf, prompts_of, sampling):
    prompts = prompts_of("echo_env")
    many, few = (player(hf, turn_tokens=9, concurrency=n).generate(prompts, sampling, seeds=SEEDS) for n in (100, 2))
    assert [r.token_ids.tolist() for group in many for r in group] == [r.token_ids.tolist() for g in few for r in g]


def test_a_full_response_ends_the_episode_and_is_scored(player, tokenizer, played, prompts_of, sampling):
    (prompt,) = prompts_of("echo_env", n=1)
    inner = Scripted(tokenizer, ["5 + 5", "one", "7"])
    ((full,),) = player(inner).generate([prompt], sampling, seeds=[[0]])
    last_turn = len(tokenizer.encode("7")) + 1
    shorter = replace(sampling, max_tokens=len(full.token_ids) - last_turn)
    ((rollout,),) = player(Scripted(tokenizer, inner.texts)).generate([prompt], shorter, seeds=[[0]])
    assert rollout.finish_reason == "length"
    assert rollout.own[-1]
    assert rollout.token_ids.tolist() == full.token_ids[: len(rollout.token_ids)].tolist()
    assert played.take(prompt.id, rollout.text).reward == pytest.approx(2 / 3)


def test_max_turns_ends_the_episode(player, tokenizer, played, prompts_of, sampling):
    (prompt,) = prompts_of("echo_env", n=1)
    ((rollout,),) = player(Scripted(tokenizer, ["1", "2"]), max_turns=2).generate([prompt], sampling, seeds=[[0]])
    assert (rollout.text.count("[assistant]"), rollout.finish_reason) == (1, "length")
    assert played.take(prompt.id, rollout.text).reward == pytest.approx(2 / 3)


def test_a_turn_that_is_cut_gets_the_end_that_it_lacks_from_the_template(player, hf, tokenizer, prompts_of, sampling):
    (prompt,) = prompts_of("echo_env", n=1, turns=2)
    ((rollout,),) = player(hf, turn_tokens=3).generate([prompt], sampling, seeds=[[1]])
    assert rollout.own.tolist()[:4] == [True, True, True, False]
    assert rollout.token_ids[3] == tokenizer.eos_token_id


def test_rewards_read_what_was_said_and_not_what_was_thought(player, tokenizer, played, prompts_of, sampling):
    prompt = prompts_of("sums_env")[0]
    thought = "<think>\\boxed{2}</think>\\boxed{1}"
    ((rollout,),) = player(Scripted(tokenizer, [thought])).generate([prompt], sampling, seeds=[[0]])
    assert rollout.text == thought
    assert played.take(prompt.id, rollout.text).reward == 1.0


def test_the_verifier_gives_the_episodes_own_reward(player, tokenizer, played, prompts_of, sampling):
    (prompt,) = prompts_of("echo_env", n=1, turns=4)
    ((rollout,),) = player(Scripted(tokenizer, ["1", "2", "3"]), max_turns=3).generate([prompt], sampling, seeds=[[0]])
    verifier = EnvironmentVerifier(EnvironmentVerifierConfig(feedback="replies"), played)
    (verdict,) = verifier.verify([VerifyItem(rollout.text, prompt.reference, prompt.id)])
    verifier.close()
    assert (verdict.reward, verdict.status, verdict.feedback) == (0.75, "failed", "['1', '2', '3']")


def test_hangman_of_the_library_itself(player, tokenizer, played, prompts_of):
    """TextArena as verifiers ships it; the word is `cab`, the only one there is."""
    (prompt,) = prompts_of("textarena", n=1, game="Hangman-v0")
    inner = Scripted(tokenizer, ["[a]", "I say [z].", "[b]", "[c]"])
    ((won,),) = player(inner).generate([prompt], Sampling(4000, stop_ids=(tokenizer.eos_token_id,)), seeds=[[0]])
    assert tokenizer.decode(won.token_ids[won.own]) == "[a]<|end|>I say [z].<|end|>[b]<|end|>[c]<|end|>"
    assert "C00 C01 C02\n  _   A   B" in tokenizer.decode(won.token_ids[~won.own])
    outcome = played.take(prompt.id, won.text)
    assert (outcome.reward, won.finish_reason) == (1.0, "stop")
    assert "completed the Hangman puzzle" in outcome.info["game_outcome"]


def test_an_environment_that_breaks_later_leaves_an_unknown_rollout(player, tokenizer, prompts_of, sampling, caplog):
    (prompt,) = prompts_of("odd_env", n=1, kind="raises late")
    ((rollout,),) = player(Scripted(tokenizer, ["1"])).generate([prompt], sampling, seeds=[[0]])
    assert (rollout.text, rollout.finish_reason) == ("1", "abort")
    assert "the engine broke" in caplog.text


def test_an_episode_that_takes_too_long_is_unknown(player, tokenizer, prompts_of, sampling):
    class Slow(Scripted):
        def generate(self, prompts, sampling, *, seeds):
            import time

            time.sleep(0.5 * len(self.asked))
            return super().generate(prompts, sampling, seeds=seeds)

    (prompt,) = prompts_of("echo_env", n=1)
    inner = Slow(tokenizer, ["1", "2", "3"])
    ((rollout,),) = player(inner, episode_timeout_s=0.4).generate([prompt], sampling, seeds=[[0]])
    assert rollout.finish_reason == "abort"


@pytest.mark.parametrize(
    ("taskset", "options", "error", "message"),
    [
        ("odd_env", {"kind": "raises early"}, GeneratorError, "before the model's first turn.*engine did not start"),
        ("odd_env", {"kind": "other prompt"}, GeneratorError, "did not begin with the task's prompt"),
        ("two_seats_env", {}, ConfigError, r"seats the model 2 times \(first, second\)"),
    ],
)
def test_what_cannot_be_played_is_one_error(player, tokenizer, prompts_of, sampling, taskset, options, error, message):
    (prompt,) = prompts_of(taskset, n=1, **options)
    with pytest.raises(error, match=message):
        player(Scripted(tokenizer, ["1", "2"])).generate([prompt], sampling, seeds=[[0]])


def test_a_stream_that_is_left_leaves_nothing_behind(player, tokenizer, prompts_of, sampling):
    prompts = prompts_of("echo_env")
    generator = player(Scripted(tokenizer, ["1"] * 20), concurrency=2)
    stream = generator.stream(prompts, sampling, seeds=[[0, 1], [2, 3]])
    next(stream)
    stream.close()
    assert [len(group) for group in generator.generate(prompts, sampling, seeds=[[0, 1], [2, 3]])] == [2, 2]


@pytest.mark.parametrize(
    ("changed", "options", "message"),
    [
        ({"verifier": "math"}, {}, "only the verifier 'environment' reads that"),
        ({"data": "bundled"}, {}, "the run's is 'bundled'; set data.name=environment"),
        ({}, {"generator": PluginChoice(name="environment")}, "name the generator that samples the turns"),
        ({"thinking": False}, {}, "later turns have to be rendered as the prompt is"),
        ({"thinking": False}, {"chat_template_options": {"enable_thinking": False}}, None),
        ({}, {}, None),
    ],
)
def test_settings_that_do_not_fit_are_refused(changed, options, message):
    thinking = {"enable_thinking": changed["thinking"]} if "thinking" in changed else {}
    run = SimpleNamespace(
        data=PluginChoice(name=changed.get("data", "environment")),
        verifier=PluginChoice(name=changed.get("verifier", "environment")),
        model=SimpleNamespace(chat_template_options=thinking),
    )
    conflict = EnvironmentGeneratorConfig(**options).conflict(run)
    assert conflict is None if message is None else message in conflict


def test_it_scores_only_where_the_other_generator_does(player, hf, tokenizer):
    assert hasattr(player(hf), "score")
    assert not hasattr(player(Scripted(tokenizer, [])), "score")


def test_outcomes_that_nobody_asked_for_go_with_the_generator(player, tokenizer, played, prompts_of, sampling):
    prompts = prompts_of("echo_env", n=1)
    generator = player(Scripted(tokenizer, ["1", "2", "3"]))
    ((rollout,),) = generator.generate(prompts, sampling, seeds=[[0]])
    assert played.is_fed
    generator.close()
    assert not played.is_fed
    assert played.take(prompts[0].id, rollout.text) is None


def test_the_plugin_is_found():
    from importlib.metadata import entry_points

    registries = load_plugins([point for point in entry_points(group="mopd") if point.name == "environments"])
    assert not registries.broken
    for kind in ("datasets", "verifiers", "generators"):
        assert "environment" in [entry.name for entry in registries[kind]]
