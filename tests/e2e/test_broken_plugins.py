"""A plugin that is broken in any way: never a traceback, never a silent wrong result, but one line and an exit code.

The line names the plugin, the distribution that it comes from, and what to do. Most plugins here are installed as
metadata and a module in a folder of their own, and the command runs in this process; the last tests install them with
pip and run the command from outside.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import pytest

from mopd_core import registry

FROM = "mopd-awry 3.2.1"
SKIP_IT = "MOPD_DISABLE_PLUGINS=awry"
TINY = (
    "training.steps=3",
    "rollout.prompts=2",
    "rollout.group_size=4",
    "data.train=8",
    "data.held_out=1",
    "evaluation.samples=1",
    "rollout.sampling.max_tokens=48",
    "tracking.rollouts_every=0",
)

PLUGIN = """
from dataclasses import replace
from types import SimpleNamespace

import torch
from mopd_core import DivergenceConfig, PluginConfig, hookimpl
from mopd_core.types import *


class Options({base}):
    '''Awry.'''


{code}


@hookimpl
def mopd_register_{kind}s(registry):
    registry.add("awry", Options, {factory})
"""


def plugin(kind: str, code: str, factory: str = "lambda config, context: Awry(context)", base: str = "") -> str:
    base = base or ("DivergenceConfig" if kind == "divergence" else "PluginConfig")
    return PLUGIN.format(kind=kind, code=dedent(code).strip(), factory=factory, base=base)


Command = Callable[..., Any]


@pytest.fixture
def awry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, install_plugin: Callable[..., None], mopd_inside: Command
) -> Callable[[str], Command]:
    """Install a plugin's module as the distribution mopd-awry 3.2.1; gives the command `mopd` in this process."""

    def install(code: str) -> Command:
        module = f"awry_{abs(hash(tmp_path))}"
        install_plugin(tmp_path / "site", module, code, distribution="mopd-awry", version="3.2.1", plugin="awry")
        monkeypatch.setattr(registry, "installed", registry.load_plugins)
        return mopd_inside

    return install


def options(*settings: str) -> list[str]:
    return [part for setting in settings for part in ("-o", setting)]


def check_line(done: Any, code: int, *said: str) -> None:
    (line,) = done.errors
    assert done.code == code, done.err
    assert "Traceback" not in done.out + done.err
    for part in said:
        assert part in line


REGISTERS = "from mopd_core import PluginConfig, hookimpl\n\n@hookimpl\ndef mopd_register_selectors(registry):\n    "
NEVER_LOADED = {
    "an import that raises": (
        "import a_module_that_nobody_has\n",
        ("cannot be imported", "ModuleNotFoundError", "a_module_that_nobody_has"),
    ),
    "an import that raises on several lines": ("raise RuntimeError('one\\ntwo')\n", ("RuntimeError: one two",)),
    "an import that exits": ("raise SystemExit('bye')\n", ("cannot be imported: SystemExit: bye",)),
    "an import that is no Python": ("def (:\n", ("cannot be imported: SyntaxError",)),
    "a name that is taken": (
        f"{REGISTERS}registry.add('contrastive', PluginConfig, print)\n",
        ("two plugins register the selector 'contrastive'", "mopd 0."),
    ),
    "a misspelt hook": (
        "from mopd_core import hookimpl\n\n@hookimpl\ndef mopd_register_verifier(registry):\n    pass\n",
        ("'mopd_register_verifier'", "Did you mean 'mopd_register_verifiers'?"),
    ),
    "a hook without its mark": (
        "def mopd_register_verifiers(registry):\n    pass\n",
        ("mopd_register_verifiers without the mark @hookimpl", "add the mark"),
    ),
    "a wrong signature": (
        "from mopd_core import hookimpl\n\n@hookimpl\ndef mopd_register_verifiers(registry, more):\n    pass\n",
        ("does not fit its hooks", "mopd_register_verifiers(registry, more)", "{'more'}"),
    ),
    "a hook that raises": (f"{REGISTERS}raise KeyError('gone')\n", ("failed in mopd_register_selectors: KeyError",)),
    "a hook that exits": (f"{REGISTERS}exit(0)\n", ("failed in mopd_register_selectors: SystemExit: 0",)),
    "a config that is none": (
        f"{REGISTERS}registry.add('awry', dict, print)\n",
        ("selector 'awry' with the config <class 'dict'>", "a subclass of mopd_core.PluginConfig"),
    ),
    "a divergence's config that is none": (
        f"{REGISTERS}pass\n\n@hookimpl\ndef mopd_register_divergences(registry):\n"
        "    registry.add('awry', PluginConfig, print)\n",
        ("divergence 'awry'", "a subclass of mopd_core.DivergenceConfig"),
    ),
    "a config that takes unknown fields": (
        plugin("selector", "", factory="print", base="PluginConfig, extra='allow'"),
        ("selector 'awry' with the config Options, which takes unknown fields", "extra='forbid'"),
    ),
    "a name that is no text": (
        f"{REGISTERS}registry.add(3, PluginConfig, print)\n",
        ("registers a selector as 3", "a name is letters, digits"),
    ),
    "no name": (f"{REGISTERS}registry.add('', PluginConfig, print)\n", ("registers a selector as ''",)),
    "a name with a space": (
        f"{REGISTERS}registry.add('my own', PluginConfig, print)\n",
        ("registers a selector as 'my own'",),
    ),
    "a name that a config reads as something else": (
        f"{REGISTERS}registry.add('off', PluginConfig, print)\n",
        ("registers a selector as 'off'", "read that as False"),
    ),
    "a factory that cannot be called": (
        f"{REGISTERS}registry.add('awry', PluginConfig, 3)\n",
        ("selector 'awry' with 3, which cannot be called",),
    ),
}


@pytest.mark.parametrize("name", NEVER_LOADED)
def test_what_cannot_be_loaded_stops_every_run_and_can_be_skipped(
    awry: Callable[[str], Command], monkeypatch: pytest.MonkeyPatch, name: str
):
    code, said = NEVER_LOADED[name]
    mopd = awry(code)
    done = mopd("run")
    check_line(done, 2, FROM, SKIP_IT, *said)
    assert done.err == f"{done.errors[0]}\n"
    listed = mopd("plugins", "--json")
    assert json.loads(listed.out)["broken"] == [done.errors[0].removeprefix("error: ")]
    monkeypatch.setenv("MOPD_DISABLE_PLUGINS", "awry")
    assert mopd("config", "show").code == 0


@pytest.mark.parametrize(
    ("code", "verifier"),
    [
        (NEVER_LOADED["an import that raises"][0], "awry"),
        (f"{REGISTERS.replace('selectors', 'verifiers')}registry.add('math', PluginConfig, print)\n", "math"),
    ],
    ids=["its verifier", "a verifier whose name it takes"],
)
def test_what_cannot_be_loaded_stops_verify_and_is_said_of_one_plugin(
    awry: Callable[[str], Command], tmp_path: Path, code: str, verifier: str
):
    mopd = awry(code)
    (tmp_path / "rows.jsonl").write_text('{"response": "4", "reference": "4"}\n', encoding="utf-8")
    done = mopd("verify", "rows.jsonl", "--verifier", verifier)
    check_line(done, 2, FROM, SKIP_IT)
    assert done.out == ""
    for name, exit_code in (("math", 0), ("awry", 2)):
        listed = mopd("plugins", name, "--json")
        assert listed.code == exit_code
        assert listed.err.splitlines()[0] == f"broken: {done.errors[0].removeprefix('error: ')}"


def test_an_unknown_option_of_a_plugin_names_it_and_what_it_knows(awry: Callable[[str], Command]):
    mopd = awry(plugin("selector", "", factory="print").replace("'''Awry.'''", "shown: int = 1"))
    done = mopd("run", "--selector", "awry", "-o", "selector.showm=2")
    check_line(done, 2, "selector.showm is not an option of selector 'awry'", "Did you mean 'shown'?", "Known: shown")


def test_a_config_with_a_field_called_name_is_refused(awry: Callable[[str], Command]):
    mopd = awry(plugin("selector", "", factory="print").replace("'''Awry.'''", "name: str = 'x'"))
    check_line(mopd("run"), 2, FROM, "a field called 'name'", "rename it")


VERIFIER = """
    class Awry:
        def __init__(self, context): pass
        def verify(self, items):
            return {}
"""
SELECTOR = """
    class Awry:
        def __init__(self, context): pass
        def select(self, groups, rng):
            return {}

    def all_shown(groups, peer, targets=range(4)):
        return [[PeerSelection(target, (peer(number, target),)) for target in targets] for number in range(len(groups))]
"""
DIVERGENCE = """
    class Awry:
        def __init__(self, context): pass
        def __call__(self, log_p, log_q):
            forward_kl = (log_q.exp() * (log_q - log_p)).sum(-1)
            return {}
"""
CLOSED_FORM = """
    class Awry:
        def __init__(self, context): pass
        def __call__(self, log_p, log_q): pass
        def value_and_grad(self, log_p, log_q):
            return {}
"""
GENERATOR = """
    class Awry:
        def __init__(self, context):
            from mopd_backends.hf.config import HfConfig
            from mopd_backends.hf.generator import build
            self.inner = build(HfConfig(), context)
        def generate(self, prompts, sampling, *, seeds):
            groups = self.inner.generate(prompts, sampling, seeds=seeds)
            return {}
        def sync_weights(self, weights, version): self.inner.sync_weights(weights, version)
        def close(self): self.inner.close()

    def every(groups, change):
        return [[change(rollout) for rollout in group] for group in groups]
"""
OBJECTIVE = """
    class Awry:
        uses_teacher, needs_scores = True, False
        def __init__(self, context): pass
        def weights(self, batch, scores):
            from mopd_core.objectives.weights import TokenWeights
            mask = batch.own & (batch.known & batch.has_context)[batch.rollout]
            return {}
"""
TEACHER = """
    class Awry:
        def __init__(self, context): self.vocabulary = context.student.config.vocab_size
        def read(self, sequences): return {}
        def update(self, student): pass
        def state_dict(self): return dict()
        def load_state_dict(self, state): pass
"""
DATASET = """
    class Awry:
        def __init__(self, context): pass
        def load(self):
            asked = (Message(role="user", content="1 + 1?"),)
            return {}
"""
CHOOSE_ANOTHER = (FROM, "if the fault is its own, report it there, or choose another")
IN_A_RUN: dict[str, tuple[str, str, str, int, tuple[str, ...]]] = {
    "a verdict of 7": ("verifier", VERIFIER, "[Verdict(7.0, 'passed') for item in items]", 1, ("reward is 7.0",)),
    "a verdict of NaN": ("verifier", VERIFIER, "[Verdict(float('nan'), 'failed')] * len(items)", 1, ("reward is nan",)),
    "too few verdicts": ("verifier", VERIFIER, "[]", 1, ("returned 0 verdicts for 1 items",)),
    "no verdicts": ("verifier", VERIFIER, "['right'] * len(items)", 1, ("returned a list of str",)),
    "nothing for verdicts": ("verifier", VERIFIER, "None", 1, ("returned a NoneType",)),
    "a verdict against its reward": ("verifier", VERIFIER, "[Verdict(0.0, 'passed')]", 1, ("'passed' with reward 0",)),
    "a verifier that raises": ("verifier", VERIFIER, "1 / 0", 1, ("raised ZeroDivisionError on prompt 'chain/",)),
    "a verifier that exits": ("verifier", VERIFIER, "exit(0)", 1, ("raised SystemExit on prompt 'chain/",)),
    "the target as its own peer": (
        "selector",
        SELECTOR,
        "all_shown(groups, lambda group, target: Peer(group, target, 'success'))",
        1,
        ("a target is never its own peer",),
    ),
    "too few selections": (
        "selector",
        SELECTOR,
        "all_shown(groups, lambda group, target: Peer(group, 3, 'success'), range(3))",
        1,
        ("returned selections for the targets [0, 1, 2]", "one for every rollout"),
    ),
    "too few groups of selections": ("selector", SELECTOR, "[]", 1, ("selections for 0 groups and was given 2",)),
    "a peer that does not exist": (
        "selector",
        SELECTOR,
        "all_shown(groups, lambda group, target: Peer(group, 9, 'success'))",
        1,
        ("there is no such rollout; the group has rollouts 0 to 3",),
    ),
    "a group that does not exist": (
        "selector",
        SELECTOR,
        "all_shown(groups, lambda group, target: Peer(7, 0, 'success'))",
        1,
        ("there is no such group",),
    ),
    "a peer with a fraction for an index": (
        "selector",
        SELECTOR,
        "all_shown(groups, lambda group, target: Peer(group, 0.5, 'success'))",
        1,
        ("returned the peer Peer(group=0, index=0.5", "whole numbers"),
    ),
    "a role that there is not": (
        "selector",
        SELECTOR,
        "all_shown(groups, lambda group, target: Peer(group, (target + 1) % 4, 'winner'))",
        1,
        ("role='winner'", "whose role is success or failure"),
    ),
    "a form that there is not": (
        "selector",
        SELECTOR,
        "all_shown(groups, lambda group, target: Peer(group, (target + 1) % 4, 'success', 'short'))",
        1,
        ("form='short'", "whose form is full or summary"),
    ),
    "a list of peers": (
        "selector",
        SELECTOR,
        "[[PeerSelection(target, [Peer(1, 3 - target, 'success')]) for target in range(4)]] * 2",
        1,
        ("returned a list as peers", "tuples of Peer"),
    ),
    "no selections": ("selector", SELECTOR, "None", 1, ("returned a NoneType", "a list of PeerSelection")),
    "peers in place of selections": (
        "selector",
        SELECTOR,
        "[[Peer(0, 0, 'success')] * 4] * 2",
        1,
        ("returned a Peer for a target",),
    ),
    "a selector that raises": ("selector", SELECTOR, "groups[99]", 2, ("failed: IndexError",)),
    "a selector that exits": ("selector", SELECTOR, "exit(0)", 2, ("failed: SystemExit: 0",)),
    "a divergence of NaN": (
        "divergence",
        DIVERGENCE,
        "forward_kl * float('nan')",
        1,
        ("not finite in 3 steps in a row", "divergence 'awry' is not finite where both sides are"),
    ),
    "a derivative of NaN": (
        "divergence",
        DIVERGENCE,
        "forward_kl.detach() + 0.0 * (log_p - log_p.detach()).abs().sum(-1).sqrt()",
        1,
        (
            "not finite in 3 steps in a row",
            "divergence 'awry' is finite, but its derivative, or",
        ),
    ),
    "a divergence below 0": (
        "divergence",
        DIVERGENCE,
        "forward_kl - 5.0",
        2,
        ("for a token; a divergence is at least 0",),
    ),
    "one divergence for all tokens": ("divergence", DIVERGENCE, "forward_kl.sum()", 2, ("returned shapes (()",)),
    "a divergence that is no tensor": ("divergence", DIVERGENCE, "0.0", 2, ("returned shapes ('(float)'",)),
    "a derivative of another shape": (
        "divergence",
        CLOSED_FORM,
        "log_p.sum(-1), log_p.sum(-1)",
        2,
        ("for its value and derivative; they have to be",),
    ),
    "no derivative": ("divergence", CLOSED_FORM, "None", 2, ("divergence 'awry' failed: TypeError",)),
    "too few rollouts": (
        "generator",
        GENERATOR,
        "[group[:-1] for group in groups]",
        1,
        ("returned groups of [0] rollouts; asked for were [1]",),
    ),
    "ids outside of the vocabulary": (
        "generator",
        GENERATOR,
        "every(groups, lambda rollout: replace(rollout, token_ids=rollout.token_ids + 1_000_000))",
        1,
        ("returned the token id 1000", "its ids are 0 to"),
    ),
    "log-probabilities of NaN": (
        "generator",
        GENERATOR,
        "every(groups, lambda rollout: replace(rollout, logprobs=rollout.logprobs * float('nan')))",
        1,
        ("returned logprobs that are not finite", "for prompt 'chain/"),
    ),
    "texts in place of rollouts": (
        "generator",
        GENERATOR,
        "every(groups, lambda rollout: rollout.text)",
        1,
        ("returned a str in place of a Rollout",),
    ),
    "a rollout without text": (
        "generator",
        GENERATOR,
        "every(groups, lambda rollout: replace(rollout, text=None))",
        1,
        ("returned a text that is a NoneType", "for prompt 'chain/"),
    ),
    "numbers for flags": (
        "generator",
        GENERATOR,
        "every(groups, lambda rollout: replace(rollout, own=rollout.own.astype(int)))",
        1,
        ("returned own flags that are no array of truth values",),
    ),
    "no scores of the probe": (
        "generator",
        GENERATOR.replace("def close", "def score(self, probe): return None\n        def close"),
        "groups",
        2,
        ("generator 'awry' failed: TypeError",),
    ),
    "no rollouts": ("generator", GENERATOR, "None", 2, ("generator 'awry' failed: TypeError",)),
    "weights of NaN": (
        "objective",
        OBJECTIVE,
        "TokenWeights(0.0 * mask, mask * float('nan'), mask)",
        2,
        ("returned divergence with values that are not finite",),
    ),
    "weights of another shape": (
        "objective",
        OBJECTIVE,
        "TokenWeights(torch.zeros(3), torch.zeros(3), mask)",
        2,
        ("returned logprob of shape (3,)", "one a token"),
    ),
    "no weights": ("objective", OBJECTIVE, "None", 2, ("returned a NoneType; weights() has to return TokenWeights",)),
    "logits of NaN": (
        "teacher",
        TEACHER,
        "SimpleNamespace(logits=lambda rows: torch.full((len(rows), self.vocabulary), float('nan')))",
        1,
        ("not finite in 3 steps in a row", "teacher 'awry' returned logits that are not numbers"),
    ),
    "logits of another shape": (
        "teacher",
        TEACHER,
        "SimpleNamespace(logits=lambda rows: torch.zeros(len(rows), 3))",
        2,
        ("teacher 'awry' returned logits of shape (",),
    ),
    "no logits": ("teacher", TEACHER, "SimpleNamespace(logits=lambda rows: None)", 2, ("logits as a NoneType",)),
    "nothing read": ("teacher", TEACHER, "None", 2, ("returned a NoneType from read()", "logits(rows)")),
    "a state of other things than tensors": (
        "teacher",
        TEACHER.replace("return dict()", "return {'old': 1.0}"),
        "SimpleNamespace(logits=lambda rows: torch.zeros(len(rows), self.vocabulary))",
        2,
        ("teacher 'awry' returned {'old': 1.0} from state_dict()", "tensors by their names"),
    ),
    "no state": (
        "teacher",
        TEACHER.replace("return dict()", "return None"),
        "SimpleNamespace(logits=lambda rows: torch.zeros(len(rows), self.vocabulary))",
        2,
        ("teacher 'awry' returned None from state_dict()",),
    ),
    "an id that comes twice": (
        "dataset",
        DATASET,
        "SimpleNamespace(train=[Prompt('a', asked, '2'), Prompt('a', asked, '2')], held_out=[])",
        2,
        ("gives train[1] the id 'a', and so it does train[0]",),
    ),
    "a verifier that is no name": (
        "dataset",
        DATASET,
        "SimpleNamespace(train=[Prompt('a', asked, '2', verifier=3)], held_out=[])",
        2,
        ("returned train[0] (id 'a') with the verifier 3; it has to be a name, or None",),
    ),
    "rows in place of prompts": (
        "dataset",
        DATASET,
        "SimpleNamespace(train=[{'prompt': '1 + 1?'}], held_out=[])",
        2,
        ("returned train[0] as a dict",),
    ),
    "no prompts": ("dataset", DATASET, "None", 2, ("returned train as a NoneType",)),
}


def arguments_of(kind: str) -> list[str]:
    """What chooses the plugin in a tiny run of the bundled default."""
    if kind == "dataset":
        return options(*(setting for setting in TINY if not setting.startswith("data.")), "data.name=awry")
    if kind == "tracker":
        return options(*TINY, "tracking.trackers=[awry]")
    return [f"--{kind}", "awry", *options(*TINY)]


@pytest.mark.parametrize("name", IN_A_RUN)
def test_what_breaks_its_contract_stops_the_run_with_one_line(awry: Callable[[str], Command], name: str):
    kind, frame, returned, code, said = IN_A_RUN[name]
    done = awry(plugin(kind, frame.replace("return {}", f"return {returned}")))("run", *arguments_of(kind))
    check_line(done, code, f"{kind} 'awry'", *CHOOSE_ANOTHER, *said)


def test_a_prompt_that_the_chat_template_refuses_is_named_with_its_data_set(awry: Callable[[str], Command]):
    prompts = "[Prompt('a', ({'role': 'asker', 'content': '1 + 1?'},), '2')]"
    code = DATASET.replace("return {}", f"return SimpleNamespace(train={prompts}, held_out=[])")
    done = awry(plugin("dataset", code))("run", *arguments_of("dataset"))
    check_line(done, 2, "prompt 'a' of dataset 'awry'", "chat template: TemplateError: a message's role is asker")


def test_an_evaluation_refuses_ids_that_the_model_does_not_have(awry: Callable[[str], Command]):
    _, _, returned, code, said = IN_A_RUN["ids outside of the vocabulary"]
    mopd = awry(plugin("generator", GENERATOR.replace("return {}", f"return {returned}")))
    check_line(mopd("eval", "--generator", "awry", *options(*TINY)), code, *CHOOSE_ANOTHER, *said)


BELOW_0_ONCE = """
    met = []

    @hookimpl
    def mopd_run_started():
        met.append("start")

    @hookimpl
    def mopd_step_finished(step):
        met.append(step.step)

    class Awry:
        def __init__(self, context): pass
        def __call__(self, log_p, log_q):
            return (log_q.exp() * (log_q - log_p)).sum(-1) - 5.0 * (met == ["start", 1, 2])
"""


def test_what_was_trained_before_a_divergence_below_0_is_saved(awry: Callable[[str], Command], tmp_path: Path):
    mopd = awry(plugin("divergence", BELOW_0_ONCE))
    check_line(mopd("run", *arguments_of("divergence"), "--out", "here"), 2, "a divergence is at least 0")
    assert (tmp_path / "here/checkpoints/last").resolve().name == "step-000002"
    resumed = mopd("run", "--resume", "--out", "here")
    assert (resumed.code, resumed.errors) == (0, [])
    steps = [json.loads(line)["step"] for line in (tmp_path / "here/metrics.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3]


@pytest.mark.parametrize("kind", ["verifier", "generator", "selector", "divergence", "teacher", "objective", "tracker"])
def test_a_factory_that_raises_or_returns_nothing_is_named(awry: Callable[[str], Command], kind: str):
    code = "def build(config, context):\n    if config.fails:\n        raise OSError('no such thing')\n"
    mopd = awry(plugin(kind, code, factory="build").replace("'''Awry.'''", "fails: bool = False"))
    arguments = arguments_of(kind)
    check_line(mopd("run", *arguments), 2, f"the factory of {kind} 'awry' returned a NoneType, which has no", FROM)
    if kind == "tracker":
        arguments[-1] = "tracking.trackers=[{name: awry, fails: true}]"
    else:
        arguments += ["-o", f"{kind}.fails=true"]
    check_line(mopd("run", *arguments), 2, f"{kind} 'awry' failed: OSError: no such thing", *CHOOSE_ANOTHER)
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("member", "said"),
    [
        ("def conflict(self, run): 1 / 0", "failed: ZeroDivisionError"),
        ("def min_group_size(self): return 'two'", "failed: TypeError"),
        ("def min_prompts(self): raise KeyError('gone')", "failed: KeyError: 'gone'"),
        (
            "needed_settings = frozenset({'rollout.promts'})",
            "needs the setting 'rollout.promts', and a run's config has",
        ),
    ],
)
@pytest.mark.parametrize("kind", ["verifier", "tracker", "divergence"])
def test_a_config_that_cannot_say_what_it_needs_is_named(
    awry: Callable[[str], Command], kind: str, member: str, said: str
):
    mopd = awry(plugin(kind, "", factory="print").replace("'''Awry.'''", member))
    for command in (["run"], ["config", "show"]):
        check_line(mopd(*command, *arguments_of(kind)), 2, f"{kind} 'awry' {said}", *CHOOSE_ANOTHER)


@pytest.mark.parametrize("hook", ["mopd_run_started", "mopd_step_finished", "mopd_run_finished"])
def test_a_lifecycle_hook_that_raises_is_named_with_its_plugin(awry: Callable[[str], Command], hook: str):
    mopd = awry(f"from mopd_core import hookimpl\n\n@hookimpl\ndef {hook}():\n    raise KeyError('gone')\n")
    done = mopd("run", *options(*TINY, "training.steps=1"))
    check_line(done, 2, f"plugin {FROM} (plugin 'awry'): {hook} failed: KeyError: 'gone'", SKIP_IT)


@pytest.mark.parametrize(("log", "close"), [("1 / 0", "pass"), ("pass", "1 / 0"), ("1 / 0", "1 / 0")])
def test_a_tracker_that_raises_is_warned_of_once_and_the_run_goes_on(
    awry: Callable[[str], Command], tmp_path: Path, log: str, close: str
):
    methods = f"def __init__(self, context): pass\ndef log(self, record): {log}\ndef close(self): {close}\n"
    mopd = awry(plugin("tracker", f"class Awry:\n{indent(methods, '    ')}"))
    done = mopd("run", *arguments_of("tracker"), "--out", "here")
    assert (done.code, done.errors) == (0, [])
    (warning,) = [line for line in done.err.splitlines() if line.startswith("warning: ")]
    for part in ("tracker 'awry' failed: ZeroDivisionError", *CHOOSE_ANOTHER, "The run goes on"):
        assert part in warning
    assert len((tmp_path / "here" / "metrics.jsonl").read_text().splitlines()) == 3
    assert "Traceback" in (tmp_path / "here" / "log.txt").read_text()


def test_what_is_not_finite_is_said_at_every_step_with_the_plugin_that_it_came_from(awry: Callable[[str], Command]):
    nan = DIVERGENCE.replace("return {}", "return forward_kl * float('nan')")
    done = awry(plugin("divergence", nan))("run", *arguments_of("divergence"))
    skipped = [line for line in done.err.splitlines() if "the step is skipped" in line]
    assert [line.partition(":")[0] for line in skipped] == ["step 1", "step 2", "step 3"]
    assert all("divergence 'awry' is not finite where both sides are" in line and FROM in line for line in skipped)


PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "mopd-awry"
version = "3.2.1"
[project.entry-points.mopd]
awry = "mopd_awry"
"""


@pytest.fixture(scope="module")
def plain(built: Path, scratch: Callable[[], Any]) -> Any:
    """An environment with mopd alone."""
    environment = scratch()
    environment.install(*built.glob("mopd-*.whl"))
    return environment


@pytest.mark.parametrize(
    ("code", "arguments", "exit_code", "said"),
    [
        (NEVER_LOADED["an import that raises"][0], ["run"], 2, ("cannot be imported: ModuleNotFoundError", SKIP_IT)),
        (
            plugin("verifier", VERIFIER.replace("return {}", "return [Verdict(7.0, 'passed')]")),
            ["run", "--verifier", "awry", *options(*TINY)],
            1,
            ("a verdict's reward is 7.0; allowed: a number in [0, 1]", *CHOOSE_ANOTHER),
        ),
    ],
    ids=["import", "verdict"],
)
def test_the_installed_command_says_it_too(
    plain: Any, tmp_path: Path, code: str, arguments: list[str], exit_code: int, said: tuple[str, ...]
):
    source, target = tmp_path / "source", tmp_path / "installed"
    source.mkdir()
    (source / "mopd_awry.py").write_text(code, encoding="utf-8")
    (source / "pyproject.toml").write_text(PYPROJECT, encoding="utf-8")
    plain.install("--target", target, source)
    mopd, path = plain.command("mopd", tmp_path), {"PYTHONPATH": str(target)}
    done = mopd(*arguments, **path)
    check_line(done, exit_code, FROM, *said)
    mopd("config", "show", MOPD_DISABLE_PLUGINS="awry", **path).ok()
