"""The wording of the teacher's prompt: only the last user message changes, and no text is taken for a placeholder."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from mopd_core.errors import DataError
from mopd_core.peers.context import (
    Block,
    ContextConfig,
    extract_summary,
    fill,
    render_instructed,
    render_question,
    request_summary,
    strip_thinking,
)
from mopd_core.types import Message

CONFIG = ContextConfig()
THINK = ("<think>", "</think>")
SUMMARY = ("<summary>", "</summary>")


def user(content):
    return Message(role="user", content=content)


class TestWording:
    def test_the_default_wording(self):
        """The bundled model is pre-trained on these words."""
        (message,) = render_question(
            CONFIG, [user("1 + 1?")], [Block("success", "It is 2."), Block("failure", "It is 3.")]
        )
        assert message["content"] == (
            "1 + 1?\n\nA solution that was checked and is right:\nIt is 2.\n\n"
            "A solution that was checked and is wrong:\nIt is 3.\n\n"
            "Now solve the original question yourself, step by step and correctly."
        )

    def test_each_kind_has_its_words(self):
        kinds = ("success", "failure", "summary-success", "summary-failure", "feedback")
        config = ContextConfig(
            success="1{text}", failure="2{text}", summary_success="3{text}", summary_failure="4{text}",
            feedback_block="5{text}", instruction="6",
        )  # fmt: skip
        (message,) = render_question(config, [user("q")], [Block(kind, "-") for kind in kinds])
        assert message["content"] == "q\n\n1-\n\n2-\n\n3-\n\n4-\n\n5-\n\n6"

    def test_braces_in_texts_survive(self):
        odd = r"{question} {context} {text} \boxed{4} {0} {} {{text}}"
        (message,) = render_question(CONFIG, [user(odd)], [Block("success", odd), Block("feedback", odd)])
        assert message["content"].count(odd) == 3

    def test_only_the_last_user_message_changes(self):
        messages = [
            Message(role="system", content="Be brief."),
            user("first"),
            Message(role="assistant", content="answer"),
            user("second"),
        ]
        rendered = render_question(CONFIG, messages, [Block("success", "peer")])
        assert list(rendered[:3]) == messages[:3]
        assert rendered[3]["content"].startswith("second\n\n")
        assert "peer" in rendered[3]["content"]

    def test_what_follows_the_last_user_message_stays(self):
        messages = [user("call"), Message(role="tool", content="result")]
        assert render_question(CONFIG, messages, [Block("success", "peer")])[1] == messages[1]

    def test_without_blocks_nothing_changes(self):
        assert render_question(CONFIG, [user("q")], []) == (user("q"),)

    def test_the_least_prompt_is_the_question_and_the_instruction(self):
        (message,) = render_instructed(CONFIG, [user("q")], [])
        assert message["content"] == f"q\n\n{CONFIG.instruction}"

    def test_a_conversation_without_a_question_is_refused(self):
        with pytest.raises(DataError, match="no user message"):
            render_question(CONFIG, [Message(role="system", content="s")], [Block("success", "peer")])

    def test_fill_leaves_unknown_placeholders(self):
        assert fill("{text} {other} {question}", {"text": "{question}"}) == "{question} {other} {question}"


class TestThinking:
    @pytest.mark.parametrize(
        ("text", "left"),
        [
            ("<think>a</think>b", "b"),
            ("a<think>b</think>c<think>d</think>e", "ace"),
            ("a</think>b", "b"),
            ("a<think>b", "a"),
            ("<think>a\n\nb</think>\n\nc", "c"),
            ("<think>never closed", ""),
            ("plain", "plain"),
        ],
    )
    def test_spans_are_removed(self, text, left):
        assert strip_thinking(text, THINK) == left


class TestSummary:
    @pytest.mark.parametrize(
        ("text", "summary"),
        [
            ("a <summary> b </summary> c", "b"),
            ("<summary>a</summary><summary>b\nc</summary>", "b\nc"),
            ("<summary>a <summary>b</summary>", "b"),
            ("<summary>a</summary> b</summary>", "a"),
            ("<summary>a</summary> <summary>b", "a"),
            ("<summary> </summary>", None),
            ("<summary>a", None),
            ("a", None),
        ],
    )
    def test_the_last_span_counts(self, text, summary):
        assert extract_summary(text, SUMMARY) == summary

    def test_the_request_stands_after_the_question(self):
        config = ContextConfig(summary_request="End with <summary>.")
        messages = [Message(role="system", content="s"), user("q")]
        assert request_summary(config, messages) == (messages[0], user("q\n\nEnd with <summary>."))

    def test_nothing_is_asked_by_default(self):
        assert request_summary(CONFIG, [user("q")]) == (user("q"),)


class TestConfig:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"template": "{question}"}, "must hold {context} exactly once"),
            ({"template": "{context}{context}{question}"}, "must hold {context} exactly once"),
            ({"summary_failure": "wrong"}, "must hold {text} exactly once"),
            ({"trim_mark": " \n"}, "must hold something that is seen"),
            ({"thinking_tags": ("", "</think>")}, "at least 1 character"),
            ({"summary_tags": ("<s>", "")}, "at least 1 character"),
            ({"max_prompt_tokens": 0}, "greater than or equal to 1"),
        ],
    )
    def test_wording_that_cannot_work_is_refused(self, options, message):
        with pytest.raises(ValidationError, match=message):
            ContextConfig(**options)
