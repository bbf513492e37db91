"""Texts that want to be more than text: they are shown, and do nothing."""

from __future__ import annotations

import json

import pytest

from mopd_core.report.make import Reporter

HOSTILE = [
    "</script><script>alert(1)</script>",
    "<!-- <script>",
    "]]>",
    "<img src=x onerror=alert(1)>",
    "a\u2028b\u2029c",
    "a\u202eb\u2066c",
    "a\x00b\x1b[31mc",
    "a\ud800b",
    "{{ 7 * 7 }} {% raw %} ${7 * 7} %{y}",
    "&lt;b&gt; &amp; \" ' `",
    "javascript:alert(1)",
    "e\u0301" * 50 + "\u200b" * 50,
]


def everywhere(text: str, make_group, make_rollout) -> dict:
    """A group that says `text` wherever a text can be."""
    shown = [{"group": 0, "index": 1, "role": text, "form": text}]
    inspected = {
        "context": text,
        "student_top": [[[20, -0.1]]] * 3,
        "teacher_top": [[[20, -0.1]]] * 3,
        "teacher_alone_logprobs": [-1.0] * 3,
    }
    values = {"divergence": [0.1, 0.2, 0.3], "logprobs": [-1.0] * 3, "teacher_logprobs": [-2.0] * 3, text: [0.5] * 3}
    rollouts = [
        make_rollout(
            text,
            feedback=text,
            caveats=[text],
            peers=shown,
            finish_reason=text,
            inspected=inspected,
            token_values=values,
        ),
        make_rollout(text, status=text, feedback=text, peers=shown, token_values={}),
    ]
    return make_group(rollouts, question=text) | {"prompt_id": text, "reference": {text: text}, "verifier": text}


@pytest.fixture
def write(make_run):
    """A run's folder with rows as JSON can hold them; the framework itself would not write a lone surrogate."""

    def write(groups: list[dict], metrics: dict[str, float], name: str = "run"):
        import zstandard

        folder = make_run({1: []}, [{"step": 1}], name=name)
        lines = "".join(json.dumps(group) + "\n" for group in groups)
        folder.rollouts_path(1).write_bytes(zstandard.ZstdCompressor().compress(lines.encode()))
        folder.metrics_path.write_text(json.dumps({"step": 1, **metrics}) + "\n")
        return folder

    return write


def test_hostile_texts_are_shown_and_run_nothing(write, make_group, make_rollout, open_page, until) -> None:
    groups = [everywhere(text, make_group, make_rollout) for text in HOSTILE]
    metrics = {f"evaluation/mean@{text}": 0.5 for text in HOSTILE} | {f"time/{text}_s": 0.1 for text in HOSTILE}
    folder = write(groups, metrics | {"time/step_s": 2.0, "context/share": 1.0})
    config = json.loads(folder.config_path.read_text())
    config["model"]["path"] = "bundled"
    config["data"]["name"] = HOSTILE[0]
    config["selector"]["name"] = HOSTILE[3]
    folder.config_path.write_text(json.dumps(config))
    names = ("time", "step", "mopd", "python", "platform", "device", "devices", "dtype", "threads", "ranks")
    lines = [dict.fromkeys(names, text) | {"packages": {text: text}, "plugins": {text: text}} for text in HOSTILE]
    folder.starts_path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for step in (0, 1):
        folder.write_evaluation(step, 2, [])
        prompts = [{"id": text, "known": 2, "successes": 1} for text in HOSTILE]
        folder.evaluation_path(step).write_text(json.dumps({"step": step, "samples": 2, "prompts": prompts}))

    page = open_page(Reporter(folder.path).write().path)
    assert "<img src=x onerror=alert(1)>" in page.locator(".choices").inner_text()
    page.locator(".starts summary").click()
    assert "mopd <img src=x onerror=alert(1)>" in page.locator(".starts").inner_text()
    for section in ("profile", "held-out"):
        page.locator(f"#{section}").scroll_into_view_if_needed()
        page.locator(f"#{section} canvas").first.wait_for()
        page.locator(f"#{section} .plot").hover(position={"x": 200, "y": 60})
    for number, text in enumerate(HOSTILE):
        page.locator("#list button").nth(number).click()
        until(page, f"document.querySelector('.group-head h3').textContent.includes('group {number + 1} of')")
        page.locator("#context summary").click()
        page.locator(".tok").first.hover()
        for place in (1, 0):
            page.locator(".rows button").nth(place).click()
            until(page, f"document.querySelector('.rows [aria-current=true]').textContent.includes('#{place + 1}')")
        page.keyboard.press("c")
        page.locator(".pair").wait_for()
        page.keyboard.press("c")
        if text.isprintable():
            assert text in page.locator("#group .question").inner_text()
    assert page.locator("main img, main script, main iframe").count() == 0
    page.locator("#f-text").fill("<script>")
    page.locator("#group mark").first.wait_for()


def test_hidden_characters_are_visible(write, make_group, make_rollout, open_page) -> None:
    folder = write([make_group([make_rollout()], question="a\u202eb\x00c\ud800d\u2028e")], {})
    page = open_page(Reporter(folder.path).write().path)
    marks = page.locator("#group .question .ctl").all_text_contents()
    assert marks == ["U+202E", "U+0000", "U+D800", "U+2028"]


def test_a_text_of_100_000_characters_is_there_whole(write, make_group, make_rollout, open_page) -> None:
    text = "".join(chr(97 + place % 26) for place in range(99_990)) + " the end."
    folder = write([make_group([make_rollout(text, token_values={})])], {})
    page = open_page(Reporter(folder.path).write().path, width=390)
    assert page.locator(".answer").text_content() == text
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_a_hostile_name_of_a_run(write, make_group, make_rollout, open_page) -> None:
    name = "<img src=x onerror=alert(1)>"
    page = open_page(Reporter(write([make_group([make_rollout()])], {}, name=name).path).write().path)
    assert page.title() == f"{name} · mopd"
    assert page.locator("h1 bdi").text_content() == name
