"""`combine` with scripted parts: who is asked what, what comes back, and that everything is closed."""

from __future__ import annotations

import json

import pytest

from mopd_core.contexts import RunContext
from mopd_core.errors import DataError, PluginError, VerifierError
from mopd_core.testing.verifiers import MAX_FEEDBACK_CHARS, VerifierSuite
from mopd_core.types import Verdict, VerifyItem
from mopd_core.verification.router import verify_checked
from mopd_verifiers.combine.feedback import join_feedback
from mopd_verifiers.combine.verifier import build
from mopd_verifiers.length.config import LengthConfig
from mopd_verifiers.length.verifier import LengthVerifier
from mopd_verifiers.math.config import MathConfig
from mopd_verifiers.math.verifier import MathVerifier


def item(reference: object = None, **said: list[object]) -> VerifyItem:
    """A response that has every scripted part say something."""
    return VerifyItem(json.dumps(said), reference, prompt_id="p-1")


PASS, FAIL, UNKNOWN = [1.0, "passed"], [0.0, "failed"], [0.0, "unknown"]


def test_later_parts_are_asked_only_about_what_is_still_open(scene):
    combine = scene.combine("all", ["a", "b", "c"])
    items = [
        item(a=FAIL, b=PASS, c=PASS),
        item(a=PASS, b=FAIL, c=PASS),
        item(a=[0.5, "failed"], b=UNKNOWN, c=[0.25, "passed"]),
        item(a=PASS, b=PASS, c=PASS),
    ]
    assert [(v.reward, v.status) for v in combine.verify(items)] == [
        (0.0, "failed"),
        (0.0, "failed"),
        (0.25, "failed"),
        (1.0, "passed"),
    ]
    assert [part.seen for part in scene.built.values()] == [items, items[1:], items[2:]]


def test_any_asks_until_one_passes_with_the_full_reward(scene):
    combine = scene.combine("any", ["a", "b"])
    items = [item(a=PASS, b=FAIL), item(a=[0.5, "passed"], b=[0.75, "failed"]), item(a=UNKNOWN, b=PASS)]
    assert [(v.reward, v.status) for v in combine.verify(items)] == [(1.0, "passed"), (0.75, "passed"), (1.0, "passed")]
    assert scene.built["b"].seen == items[1:]


def test_a_weighted_sum_asks_every_part(scene):
    parts = [
        {"verifier": {"name": "scripted", "label": "a"}, "weight": 0.8},
        {"verifier": {"name": "scripted", "label": "b"}, "weight": 0.2},
    ]
    items = [item(a=PASS, b=FAIL), item(a=FAIL, b=PASS), item(a=PASS, b=UNKNOWN)]
    verdicts = scene.combine("weighted-sum", parts, "verifier.pass_at=0.5").verify(items)
    assert [(pytest.approx(v.reward), v.status) for v in verdicts] == [
        (0.8, "passed"),
        (0.2, "failed"),
        (0.0, "unknown"),
    ]
    assert scene.built["b"].seen == items


def test_feedback_names_its_part_and_caveats_are_kept_once(scene):
    said = {
        "a": [1.0, "passed", "fine", ["weak"]],
        "b": [0.0, "failed", "wrong", ["weak", "old"]],
        "c": [1.0, "passed"],
    }
    (verdict,) = scene.combine("weighted-sum", ["a", "b", "c"]).verify([item(None, **said)])
    assert verdict.feedback == "scripted: fine\nscripted: wrong"
    assert verdict.caveats == ("weak", "old")


def test_no_feedback_is_none(scene):
    (verdict,) = scene.combine("all", ["a"]).verify([item(a=PASS)])
    assert verdict == Verdict(1.0, "passed")


@pytest.mark.parametrize("lengths", [(4000,), (4001, 10), (9000, 9000, 3), (4000,) * 16, (300,) * 16, (1, 1)])
def test_joined_feedback_is_bounded_and_every_part_is_heard(lengths):
    joined = join_feedback([(f"part-{i}", Verdict(0.0, "failed", "x" * n)) for i, n in enumerate(lengths)])
    assert joined is not None
    assert len(joined) <= MAX_FEEDBACK_CHARS
    assert [line.split(":")[0] for line in joined.split("\n")] == [f"part-{i}" for i in range(len(lengths))]


def test_a_part_gets_its_key_of_the_reference_or_the_whole(scene):
    parts = [
        {"verifier": {"name": "scripted", "label": "a"}, "reference": "answer"},
        {"verifier": {"name": "scripted", "label": "b"}},
    ]
    combine = scene.combine("all", parts)
    whole = {"answer": 7, "more": None}
    combine.verify([item(whole, a=PASS, b=PASS)])
    combine.check([VerifyItem("", whole)])
    assert [part.seen[0].reference for part in scene.built.values()] == [7, whole]
    assert [part.checked[0].reference for part in scene.built.values()] == [7, whole]
    assert scene.built["a"].seen[0].prompt_id == "p-1"


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ({"anser": 7}, "has no such key; it has: anser"),
        ({}, "has no such key; it has: none"),
        (7, "has no such key; it is no JSON object"),
        (None, "has no such key; it is no JSON object"),
    ],
)
@pytest.mark.parametrize("ask", ["verify", "check"])
def test_a_reference_without_the_key_is_an_error_that_names_the_prompt(scene, reference, words, ask):
    parts = [{"verifier": "scripted"}, {"verifier": {"name": "scripted", "label": "b"}, "reference": "answer"}]
    with pytest.raises(DataError) as caught:
        getattr(scene.combine("all", parts), ask)([item(reference, a=FAIL)])
    assert str(caught.value).startswith(
        "prompt 'p-1': the verifier `combine` gives 'answer' of the reference to its part"
    )
    assert words in str(caught.value)


def test_every_part_checks_its_references(scene):
    combine = scene.combine("all", ["a", "b"])
    with pytest.raises(DataError, match="a cannot use 'bad'"):
        combine.check([VerifyItem("", "bad", "p-1")])


def test_a_part_without_check_is_left_alone(scene):
    scene.registries["verifiers"].add("length", LengthConfig, lambda config, context: LengthVerifier(config))
    scene.combine("all", [{"verifier": {"name": "length", "soft_chars": 1, "max_chars": 2}}]).check([VerifyItem("", 1)])


def test_a_part_that_breaks_its_contract_is_named(scene):
    combine = scene.combine("all", ["a"])
    with pytest.raises(VerifierError, match="verifier 'scripted' returned status 'passed' with reward 0"):
        combine.verify([item(a=[0.0, "passed"])])
    with pytest.raises(VerifierError, match="verifier 'scripted' raised KeyError"):
        combine.verify([item(b=PASS)])


def test_closing_reaches_every_part_and_may_be_repeated(scene):
    combine = scene.combine("all", ["a", "b"])
    combine.close()
    combine.close()
    assert sorted(scene.closed) == ["a", "b"]


def test_a_part_that_does_not_close_does_not_keep_the_others_open(scene):
    combine = scene.combine("all", ["a", "b"])
    scene.built["b"].fails_to_close = True
    with pytest.raises(OSError, match="b does not close"):
        combine.close()
    assert sorted(scene.closed) == ["a", "b"]


def test_where_a_part_cannot_be_built_those_before_it_are_closed(scene):
    with pytest.raises(PluginError, match="verifier 'scripted' failed: RuntimeError: no such thing"):
        scene.combine("all", ["a", "b", {"verifier": {"name": "scripted", "breaks": True}}])
    assert sorted(scene.closed) == ["a", "b"]


def test_a_combine_holds_another(scene):
    inner = {"name": "combine", "rule": "any", "parts": [{"verifier": {"name": "scripted", "label": x}} for x in "bc"]}
    combine = scene.combine("all", ["a", {"verifier": inner}])
    items = [item(a=PASS, b=FAIL, c=PASS), item(a=PASS, b=FAIL, c=[0.0, "failed", "no"])]
    assert [(v.status, v.feedback) for v in combine.verify(items)] == [
        ("passed", None),
        ("failed", "combine: scripted: no"),
    ]
    combine.close()
    assert sorted(scene.closed) == ["a", "b", "c"]


@pytest.fixture(scope="module")
def math_within_a_limit():
    from mopd_core.config.load import load_verifier
    from mopd_core.registry import load_plugins
    from mopd_verifiers.combine.config import CombineConfig

    registries = load_plugins(points=[])
    registries["verifiers"].add("combine", CombineConfig, build)
    registries["verifiers"].add("math", MathConfig, lambda config, context: MathVerifier(config))
    registries["verifiers"].add("length", LengthConfig, lambda config, context: LengthVerifier(config))
    parts = (
        "[{verifier: {name: length, soft_chars: 2000, max_chars: 2000}}, "
        "{verifier: {name: math, workers: 1}, reference: gold}]"
    )
    config = load_verifier("combine", registries, ["verifier.rule=all", f"verifier.parts={parts}"])
    return registries["verifiers"].build(config, RunContext(0, registries, None))


class TestCombineSuite(VerifierSuite):
    @pytest.fixture
    def verifier(self, math_within_a_limit):
        return math_within_a_limit

    @pytest.fixture
    def passing(self):
        return [VerifyItem(r"so \boxed{7}", {"gold": 7}), VerifyItem("#### 1,080", {"gold": "1080"})]

    @pytest.fixture
    def failing(self):
        return [VerifyItem(r"so \boxed{8}", {"gold": 7}), VerifyItem(r"\boxed{7}" + " " * 2000, {"gold": 7})]


def test_what_it_says_holds_for_the_router_as_well(scene):
    combine = scene.combine("weighted-sum", ["a", "b"])
    said = [item(a=a, b=b) for a in (PASS, FAIL, UNKNOWN) for b in (PASS, FAIL, UNKNOWN)]
    assert len(verify_checked("combine", combine, said)) == 9
