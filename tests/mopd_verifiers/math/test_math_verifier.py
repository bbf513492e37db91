from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mopd_core.errors import DataError, VerifierError
from mopd_core.testing.verifiers import VerifierSuite
from mopd_core.types import Verdict, VerifyItem
from mopd_verifiers.math import algebra, worker
from mopd_verifiers.math import judge as judge_module
from mopd_verifiers.math.config import MathConfig
from mopd_verifiers.math.reference import golds_of
from mopd_verifiers.math.verifier import MathVerifier

LIMIT_S = 5.0


@pytest.fixture(scope="module")
def math():
    verifier = MathVerifier(MathConfig(workers=2, timeout_s=LIMIT_S))
    yield verifier
    verifier.close()


@pytest.fixture(scope="module")
def hasty():
    verifier = MathVerifier(MathConfig(workers=1, timeout_s=1.0))
    yield verifier
    verifier.close()


def judge(verifier, response, gold) -> Verdict:
    (verdict,) = verifier.verify([VerifyItem(response, gold, prompt_id="p-1")])
    return verdict


@pytest.fixture(scope="module")
def own_math():
    return MathVerifier(MathConfig(workers=2))


class TestMathSuite(VerifierSuite):
    @pytest.fixture
    def verifier(self, own_math):
        return own_math

    @pytest.fixture
    def passing(self):
        return [
            VerifyItem(r"so it is $\boxed{7}$", 7),
            VerifyItem("#### 1,080", "1080"),
            VerifyItem(r"The answer is $\frac{1}{2}$.", "0.5"),
        ]

    @pytest.fixture
    def failing(self):
        return [VerifyItem(r"so it is $\boxed{8}$", 7), VerifyItem(r"\boxed{\frac{1}{3}}", r"\frac{1}{2}")]


@pytest.mark.parametrize(
    ("response", "gold"),
    [
        (r"\boxed{7}", 7),
        (r"\boxed{7}", "7"),
        (r"\boxed{27}", 27.0),
        (r"\boxed{27.00}", "27.0"),
        (r"\boxed{\$18}", "18"),
        (r"\boxed{18 dollars}", "18"),
        (r"\boxed{x = 5}", "5"),
        (r"\boxed{\frac{\sqrt{8}}{2}}", r"\sqrt{2}"),
        (r"\boxed{0.333333}", r"\frac{1}{3}"),
        (r"\boxed{\frac{1}{3}}", "0.333333"),
        (r"\boxed{(1, 2]}", "(1,2]"),
        (r"\boxed{\{2, 1\}}", r"\{1, 2\}"),
        (r"\boxed{70\%}", "70%"),
        (r"\boxed{2π}", r"2\pi"),
        (r"\boxed{\text{Evelyn}}", "Evelyn"),
        (r"\boxed{1}", r"\boxed{1}"),
        ("Final Answer:\n\n2^{10}", 1024),
        ("Answer: 3 + 4 = 7", 7),
        ("The final answer is 5 apples for 3 boys.", 5),
        ("She gets $18 per day and pays $20.", 20),
        ("so we get 5 and then 1,080 dollars", "1,080"),
        ("so it is 70%", "0.7"),
        ("By answering 48 questions she gets 66 points.", 66),
        ("and so $x = \\frac{14}{2}$ as wanted", 7),
        (r"<think>\boxed{8}</think> It is 7", 7),
        (r"\boxed{1e3}", "1000"),
        ("Answer: 3.0e2", "300"),
        ("Answer: 3.0E+2 meters", "300"),
        ("The answer is 3.0e2 because 3 * 100 is that.", "300"),
        ("so it is 1e3", "1000"),
        (r"\boxed{1000}", "1e3"),
        (r"so $x = \boxed{1}$ and $x = \boxed{2}$", r"\{1,2\}"),
        (r"\boxed{2}, \boxed{1}", "1, 2"),
        (r"$\boxed{1}$, $\boxed{2}$, and $\boxed{3}$.", r"\{3,1,2\}"),
        (r"$m = \boxed{1}$ and $n = \boxed{2}$", "(1, 2)"),
        (r"\boxed{5}, \boxed{5}", 5),
        (r"\boxed{5}. So it is \boxed{7}", 7),
        (r"\boxed{5} \boxed{7}", 7),
        (r"\boxed{9}", ["7", "9"]),
        (r"\boxed{\frac{18}{2}}", ["7", 9]),
        (r"\boxed{no}", {"answer": "none", "alternatives": ["no"]}),
        (r"\boxed{7}", {"answer": 7}),
        ("So x = 5. The answer is correct.", 5),
        ("We get $\\frac{1}{2}$.\nI hope the answer is helpful.", "0.5"),
        ("The answer is $\\frac{1}{2}$ because 2 is twice 1.", "0.5"),
        ("The answer is $x = 1$ and $y = 2$.", "(1, 2)"),
        ("The answer is 1 and 2.", r"\{1, 2\}"),
        ("The answer is (1, 2].", "(1, 2]"),
        ("The answer is C.", "C"),
        ("Answer: (C) 12", "C"),
        ("Evelyn", "Evelyn"),
        ("It is $5$ cm.", 5),
        (r"\[ \boxed{\begin{pmatrix} 1 \\ 2 \end{pmatrix}} \]", r"\begin{pmatrix}1\\2\end{pmatrix}"),
    ],
)
def test_passes(math, response, gold):
    assert judge(math, response, gold) == Verdict(1.0, "passed")


@pytest.mark.parametrize(
    ("response", "gold"),
    [
        (r"\boxed{8}", 7),
        (r"\boxed{7} or rather \boxed{8}", 7),
        (r"\boxed{7, 8}", 7),
        (r"\boxed{cab}", "abc"),
        (r"\boxed{[1, 2]}", "(1, 2)"),
        (r"\boxed{0}", "0.0000001"),
        (r"\boxed{18 thousand}", 18),
        (r"\boxed{7}, \boxed{8}", 7),
        (r"\boxed{7}, \boxed{8}", 8),
        (r"$\boxed{6}$, $\boxed{7}$ or $\boxed{8}$", 7),
        (r"\boxed{2} and \boxed{3}", r"\{1, 2\}"),
        (r"\boxed{1}, \boxed{2} and \boxed{3}", r"\{1, 2\}"),
        (r"\boxed{1} so \boxed{2}", "1, 2"),
        (r"\boxed{8}", ["7", "9"]),
        (r"\boxed{7, 9}", ["7", "9"]),
        ("Answer: 7 or 8", 7),
        ("Answer: 7, 8, 9", 7),
        ("The answer is 7 or 8, whichever fits.", 7),
        ("Answer: 18 thousand dollars", 18),
        ("Answer: 5 to 7", 5),
        (r"\boxed{x}", "y"),
        (r"\boxed{10 001}", 10000),
        (r"\boxed{1e3}", 3),
        (r"\boxed{1e3}", 1001),
        ("so it is 1e3", 3),
        ("so it is 1e3", 1),
        ("Answer: 1e-3", 1000),
    ],
)
def test_fails(math, response, gold):
    verdict = judge(math, response, gold)
    assert (verdict.reward, verdict.status) == (0.0, "failed")
    assert verdict.feedback is not None
    assert "which is not right" in verdict.feedback


@pytest.mark.parametrize(
    ("response", "gold"),
    [
        ("#### 5\n\nI hope the answer is clear.", 5),
        ("Answer: 12\n\nLet me know if my answer is helpful", 12),
        ("The final answer is 5.\nThis answer is correct.", 5),
        ("The final answer is 5. This answer is correct. I checked 3 cases.", 5),
        ("Answer: 5\nThe answer is reasonable because 5 < 10.", 5),
        ("Answer: 5\nTell me if the answer is wrong.", 5),
        ("The answer is **5** because 6 is wrong", 5),
        ("so it is 5. I hope the answer is clear.", 5),
        ("so it is 5. This answer is correct.", 5),
        ("Answer: 5\nI am sure that this answer is spot on.", 5),
        ("#### 5\nThe answer is blue.", 5),
        ("#### Step 3: add\n2 + 3 = 5", 5),
        ("#### Final Answer\n\nIt is 5", 5),
        ("**Answer:** 5", 5),
        ("**Answer**: 5", 5),
        ("**Answer: 5**", 5),
        ("**Answer: 5** because 6 is wrong", 5),
        ("The answer is *5*, not 6", 5),
        ("The answer is __5__ because 6 is wrong", 5),
        ("The answer is ***5***.", 5),
        ("#### **5**", 5),
        ("Answer: 3*x*5", "15x"),
        ("Answer: $x_1 = 5$", 5),
        ("The answer is blue.", "blue"),
        ("The answer is **blue**.", "blue"),
        ("Answer: yes\n\nI hope the answer is clear.", "yes"),
        ("#### yes", "yes"),
        ("The answer is right.", "right"),
        ("My answer is blue.", "blue"),
        ("Answer: 5\nIf she picks red then the answer is blue.", "blue"),
        ("Answer: 5\nRather, the answer is blue.", "blue"),
    ],
)
def test_closing_prose_and_emphasis_do_not_hide_a_right_answer(math, response, gold):
    assert judge(math, response, gold) == Verdict(1.0, "passed")


@pytest.mark.parametrize(
    ("response", "gold"),
    [
        ("Answer: 5\nNo, the answer is 6.", 5),
        ("#### 5\nWait, the answer is 6.", 5),
        ("#### 5\n#### 6", 5),
        ("Answer: 5\n#### 6\nI hope the answer is clear.", 5),
        ("#### 5\nWait: the answer is 6.\nThe answer is blue.", 5),
        ("Answer: 5\nRather, the answer is six.", 5),
        ("#### 5\nRather, the answer is $x$.", 5),
        ("#### 5\nThis answer is wrong.", 5),
        ("Answer: 5\nThe answer is not five.", 5),
        ("Answer: 5\nThe answer is impossible to tell.", 5),
        ("Answer: 5\nRather, the answer is blue.", 5),
        ("Answer: 5\nRather, my answer is blue.", 5),
        ("Answer: 5\nThis answer is 1 too small: it is 6.", 5),
        ("Answer: 5\nRather, the answer is B.", 5),
        ("Answer: red\nThe answer is blue.", "red"),
        ("The answer is **6** because 5 is wrong", 5),
        ("Answer: 5 and then\nthe answer is *6*", 5),
        ("#### Step 3: add\n2 + 4 = 6", 3),
        ("The answer is clear.", "blue"),
    ],
)
def test_an_earlier_right_answer_does_not_rescue_a_later_one(math, response, gold):
    verdict = judge(math, response, gold)
    assert (verdict.reward, verdict.status) == (0.0, "failed")


@pytest.mark.parametrize(
    ("response", "feedback"),
    [
        (r"\boxed{8}", "The final answer was 8, which is not right."),
        ("I give up", r"No final answer was found; it belongs in \boxed{}."),
        ("", r"No final answer was found; it belongs in \boxed{}."),
        (r"\boxed{\frac{}}", r"The final answer was \frac{}, which cannot be read as mathematics."),
    ],
)
def test_feedback(math, response, feedback):
    assert judge(math, response, 7).feedback == feedback


def test_feedback_does_not_hold_the_gold(math):
    for response in (r"\boxed{8}", "no", "", r"\boxed{\frac{}}"):
        assert "31415" not in (judge(math, response, 31415).feedback or "")


HANGS = ["9^{9^{9^{9}}}", "9!!!!!!"]
HOSTILE = [
    *("10^{10^{10}}", "10000000!", "(((9!)!)!)!", "2^{2^{2^{2^{2^{2^{2}}}}}}", "(x+y+z)^{9999}", "(1+x)^{10^8}"),
    *("(" * 400 + "8" + ")" * 400, "{" * 400 + "8" + "}" * 400, r"\frac{1}{" * 50 + "8" + "}" * 50, r"\sqrt{" * 90),
    *(r"\int_0^1 \int_0^1 \sin(x^{y^{x}}) dx dy", r"\sum_{k=1}^{10^{9}} \frac{1}{k!}", r"\prod_{k=1}^{10^9} k"),
    *(r"\binom{10^{9}}{5 \cdot 10^{8}}", r"x^{x^{x^{x^{x}}}} = 10^{99}", "1,2," * 200, "+".join(["x^{999}"] * 60)),
    *(r"\begin{pmatrix}" + "1&" * 300 + r"\end{pmatrix}", r"\{" * 300, "[" * 500, r"\pm" * 300, "x=" * 400),
    *("0." + "9" * 900, "9" * 990, "1/" * 400 + "1", "1e999", r"\cup" * 200, "\\", r"\text{" * 150, "7_{" * 200),
]


@pytest.mark.parametrize("answer", HANGS)
def test_an_answer_that_hangs_has_failed_within_its_limit(hasty, answer):
    start = time.monotonic()
    verdicts = hasty.verify([VerifyItem(f"\\boxed{{{text}}}", 7) for text in (answer, "7", "8")])
    assert time.monotonic() - start < 5
    assert [verdict.status for verdict in verdicts] == ["failed", "passed", "failed"]
    assert verdicts[0].feedback == "The final answer takes too long to evaluate."


@pytest.mark.parametrize(("form", "gold"), [("\\boxed{%s}", r"x^2 + \sqrt{2}"), ("The answer is $%s$.", 7)])
def test_hostile_answers_fail_and_the_pool_lives(hasty, form, gold):
    items = [VerifyItem(form % text, gold) for text in HOSTILE]
    right = VerifyItem(f"\\boxed{{{gold}}}", gold)
    start = time.monotonic()
    verdicts = hasty.verify([*items, right])
    assert [verdict.status for verdict in verdicts] == ["failed"] * len(items) + ["passed"]
    assert time.monotonic() - start < 2 * len(items)


@pytest.mark.parametrize("gold", ["9^{9^{9^{9}}}", "9!!!!!!"])
def test_a_gold_that_hangs_is_a_bad_reference(hasty, gold):
    item = VerifyItem(r"\boxed{7}", gold, prompt_id="p-1")
    for read in (hasty.check, hasty.verify):
        with pytest.raises(DataError, match=r"'p-1'.*takes more than 1 s"):
            read([VerifyItem("", 7), item])
    assert judge(hasty, r"\boxed{7}", 7).status == "passed"


def test_a_gold_that_is_hard_to_simplify_is_no_bad_reference(hasty):
    assert judge(hasty, r"\boxed{7}", r"\cos(64x) + 3").status == "failed"
    hasty.check([VerifyItem("", r"\cos(64x) + 3"), VerifyItem("", r"\int x^2 dx")])


def test_an_answer_that_exhausts_memory_has_failed(monkeypatch):
    def explode(*_, **__):
        raise MemoryError

    monkeypatch.setattr(algebra, "same", explode)
    assert judge_module.judge(r"\boxed{2^3}", ["7"]).finding == "memory"


BAD_GOLDS = [None, True, [], [7, None], {"answer": []}, {"gold": 7}, {"answer": 7, "alternatives": 8}]
BAD_GOLDS += [float("nan"), float("inf"), "", "  ", "%%%", r"\frac{}", "x+" * 1000, ["7", "%%%"]]


@pytest.mark.parametrize("gold", BAD_GOLDS)
def test_a_gold_that_cannot_be_read_is_a_data_error(math, gold):
    with pytest.raises(DataError, match="'p-1'") as raised:
        judge(math, r"\boxed{7}", gold)
    assert repr(gold)[:20] in str(raised.value)


@pytest.mark.parametrize(
    ("gold", "text"), [(7, "7"), (0.1, "0.1"), (1e-7, "0.0000001"), (1e22, "10000000000000000000000")]
)
def test_gold_text(gold, text):
    assert golds_of(VerifyItem("", gold)) == (text,)


def test_a_closed_verifier_says_so():
    verifier = MathVerifier(MathConfig(workers=1))
    verifier.close()
    with pytest.raises(VerifierError, match="closed"):
        judge(verifier, r"\boxed{7}", 7)


def test_the_worker_imports_neither_torch_nor_the_core():
    program = (
        "import mopd_verifiers.math.worker, sys; print({'torch', 'numpy', 'mopd_core', 'pydantic'} & set(sys.modules))"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "set()"


TOKENS = [*"0123456789+-*/^_=<>(){}[]|,.!$%xyzeiπ \n", "\\frac", "\\sqrt", "\\boxed{", "\\int", "\\infty", "and"]
mathlike = st.lists(st.sampled_from(TOKENS), max_size=60).map("".join)


@given(st.one_of(st.text(max_size=200), mathlike), st.sampled_from(["\\boxed{%s}", "%s", "Answer: %s", "$%s$"]))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_gets_a_verdict_within_its_limit(math, text, form):
    start = time.monotonic()
    verdict = judge(math, form.replace("%s", text), r"\frac{1}{2}")
    assert verdict.status in ("passed", "failed")
    assert time.monotonic() - start < LIMIT_S + 2


def test_the_same_findings_whatever_the_hash_seed():
    pairs = [(r"\{1,\sqrt{2},x\}", r"\{x,\sqrt{2},1\}"), ("x+y+z", "z+y+x"), (r"\pm\sqrt{3}", r"-\sqrt3,\sqrt3")]
    pairs += [("(1,2)\\cup(3,4)", "(3,4)\\cup(1,2)"), ("x^2-y^2", "(x-y)(x+y)"), ("a+b", "a+c"), ("x=1,y=2", "y=2,x=1")]
    program = (
        "import json, sys; from mopd_verifiers.math.judge import judge; "
        "print([judge('\\\\boxed{%s}' % answer, [gold]).finding for gold, answer in json.loads(sys.argv[1])])"
    )
    found = {
        subprocess.check_output(
            [sys.executable, "-c", program, json.dumps(pairs)], text=True, env={**os.environ, "PYTHONHASHSEED": seed}
        )
        for seed in ("1", "2")
    }
    assert found == {"['equal', 'equal', 'equal', 'equal', 'equal', 'different', 'equal']\n"}


def test_the_worker_forgets_now_and_then(monkeypatch):
    forgotten = []
    monkeypatch.setattr(algebra, "forget", lambda: forgotten.append(True))
    for number in range(2000):
        assert worker._handle((f"\\boxed{{{number}}}", ["7"]))[0] == ("equal" if number == 7 else "different")
    assert len(forgotten) == 4


def test_a_very_long_response_is_judged_by_its_end(math):
    long = "so we go on and on, " * 500_000
    for end in ("\\boxed{7}", "\n#### 7", "the answer is 7."):
        assert judge(math, long + end, 7).status == "passed"
        assert judge(math, long + end, 8).status == "failed"
