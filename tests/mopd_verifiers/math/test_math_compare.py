from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mopd_verifiers.math.compare import UnfinishedError, UnreadableError, equal, readable
from mopd_verifiers.math.spelling import normal

# One pair a line: gold | answer.
EQUAL = r"""
5 | 5 cm
5 cm | 5
5 cm | 5\text{cm}
5 cm | 5cm
5 | 5 \text{ cm}
5 miles | 5 mi
5 \text{ miles} | 5 \text{ mi.}
25 | 25 \text{ cm}^2
25 \text{ square inches} | 25
5 | \$5
5 | 5 dollars
90 | 90^\circ
90^\circ | 90
90^{\circ} | 90 degrees
37 | 37^\circ \text{C}
3/2 | 1 1/2
\frac{3}{2} | 1\frac12
\frac32 | 1.5
1\frac{1}{2} | \dfrac{3}{2}
1.5 | 1½
-1\frac{1}{2} | -1.5
3\frac{1}{4} | 13/4
1\frac{1}{2} hours | 1.5 hours
18 hours | 18 h
(2,3) | (2, 3)
(2,3) | \left(2,3\right)
\langle 1,2 \rangle | (1,2)
\{1,2,3\} | \{3,2,1\}
\{1,2\} | 2, 1
1, 2 | \{2,1\}
1,2 | 1 \text{ and } 2
1,2,3 | 3, 2, and 1
1,2 | (1,2)
5 \text{ or } 7 | 7, 5
1,000, 2,000 | 2000, 1000
5 | \{5\}
5 | (5)
[2,3) | [2,3)
(-\infty, 3] | (-∞,3]
(-\infty,2)\cup(3,\infty) | (3,\infty) \cup (-\infty, 2)
(1,3] | (1,2)\cup[2,3]
(-\infty,\infty) | \mathbb{R}
\mathbb{R} | (-\infty,\infty)
x > 3 | (3, \infty)
(3,\infty) | x>3
x \ge 3 | 3 \leq x
2 < x < 3 | (2,3)
x \in [2,3] | [2,3]
[2,3] | x \in [2, 3]
x=5 | 5
5 | x = 5
5 | 2x - 1 = 5
y=2x+1 | 2x+1=y
y=2x+1 | 2x+1
y=2x+1 | y = 1+2x
y=2x+1 | 2y = 4x+2
f(x)=x^2 | x^2
7 | 3+4=7
x = \sqrt 2 \approx 1.414 | \sqrt2
\sqrt2 | x = \sqrt{2} \approx 1.414
1.414 | \sqrt{2} \approx 1.414
3.14 | x \approx 3.14
(x,y) = (1,2) | (1,2)
(1,2) | x = 1, y = 2
x=1,y=2 | (1,2)
x=1,y=2 | y = 2, x=1
\begin{pmatrix}1&2\\3&4\end{pmatrix} | \begin{bmatrix} 1 & 2 \\ 3 & 4 \end{bmatrix}
\begin{pmatrix}1/2\\3\end{pmatrix} | \left[\begin{array}{c} 0.5 \\ 3 \end{array}\right]
\begin{pmatrix}2\\4\end{pmatrix} | 2\begin{pmatrix}1\\2\end{pmatrix}
C | (C)
C | C.
C | \text{C}
C | C: 12
C | C) 12
C | \textbf{(C)}\ 12
C | \text{(C)}
C | Option C
\text{(C)} | C
\pm 3 | 3, -3
\pm 3 | \{-3, 3\}
-3, 3 | x = \pm 3
1 \pm \sqrt{2} | 1+\sqrt{2}, 1-\sqrt{2}
\pm\sqrt{3} | -\sqrt3, \sqrt3
\pm 1, \pm 2 | -2,-1,1,2
\infty | +\infty
\infty | infinity
-\infty | -∞
3 \times 10^5 | 300000
3e5 | 3\cdot 10^{5}
300000 | 3.0 × 10⁵
0.0015 | 1.5 \times 10^{-3}
1/3 | 0.\overline{3}
0.1\overline{6} | \frac16
0.333333 | \frac{1}{3}
1011_2 | 1011_{2}
1011_2 | 1011
1011_2 | 1011_{\text{two}}
A3_{16} | \text{A3}_{16}
2516_8 | (2516)_8
no | No.
yes | \text{yes}
July 4 | july 4
July 4, 2021 | July 4, 2021
Evelyn | \text{Evelyn}
the red one | red one
no change | \text{No change}
\sqrt{12} | 2\sqrt{3}
2\sqrt3 | \sqrt{12}
\frac{\sqrt{2}}{2} | 1/\sqrt2
\sqrt{2} | √2
120 | 5!
1024 | 2^{10}
3+4i | 4i+3
10 | \binom{5}{2}
3 | \log_2 8
x^2-1 | (x-1)(x+1)
\frac{1}{2}x | \frac{x}{2}
5x | 5 \cdot x
ab | b \cdot a
\frac{a}{b} | a/b
1,080 | 1080
1080 | 1\,080
1080 | 1{,}080
1080 | 1,\!080
1080 | 1 080
(1,080) | (1,080)
(1,80) | (1,080)
50\% | 0.5
50\% | 1/2
50\% | 50
50\% | 50 percent
50\% | 50\text{ percent}
50 | 50\%
0.5 | 50%
0 | 0%
0.5\% | 0.5
12.5\% | 0.125
\emptyset | \varnothing
\emptyset | \{\}
2\pi \text{ cm} | 2\pi
2\pi | 2π
6.28318531 | 2\pi
３ | 3
٣ | 3
−3 | -3
3:2 | 3 : 2
025 | 25
12:30 pm | 12:30 PM
10:00 a.m. | 10:00 AM
y=x | y=\frac{2x}{2}
"""

DIFFERENT = r"""
(1,2) | [1,2]
[2,3) | [2,3]
(2,3) | (3,2)
(2,3) | 3, 2
[1,2] | 1, 2
\{1,2\} | \{1,2,3\}
\{1,2\} | (2,1)
1,2 | 1
1 | 1,2
1,2 | 1,3
7 | 7 or 8
7 | \{7,8\}
7 | 7, 8, 9
no | on
on | no
abc | cab
9 | 9.1
7 | 7.00001
0.5 | 0.5%
0.5 | 50
50 | 0.5
50 | 0.5%
50\% | 5
C | D
C | C or D
C | (C) or (D)
C | A, C
C | C: D
C | not C
x=5 | y=5
x=5 | x=6
5 cm | 5 m
5 \text{ g} | 5 \text{ kg}
5 cents | 5 dollars
5 cm | 6 cm
3m | 3
2t | 2
5o | 5
1011_2 | 1011_3
1011_2 | 11
(1,080) | 1080
1080 | (1,080)
x^2+1=0 | x^2+2=0
x^2+1=0 | y^2+1=0
x^2+y^2=1 | 1
x=5 | 5=5
7 | 7=8
\emptyset | \{0\}
\begin{pmatrix}1&2\\3&4\end{pmatrix} | \begin{pmatrix}1&2\\3&5\end{pmatrix}
\begin{pmatrix}1\\2\end{pmatrix} | \begin{pmatrix}1&2\end{pmatrix}
\begin{pmatrix}1&2\\3&4\end{pmatrix} | \begin{vmatrix}1&2\\3&4\end{vmatrix}
\pm 3 | 3
3 | \pm 3
1/3 | 0.33
\pi | 3.14
11/2 | 1 1/2
1 1/2 | 11/2
10000 | 10 001
10^{-7} | 0
10^{-7}\pi | 0.0
18 | 18 thousand
5 | 5 \text{ million}
5 pm | 5
July 4 | 4
x>3 | x \ge 3
(3,\infty) | [3,\infty)
(1,2)\cup(3,4) | (1,2)\cup(3,5)
x=1,y=2 | (2,1)
x=1,y=2 | x=2,y=1
Evelyn | Eve
5 | no solution
no solution | 5
\sqrt{2} | 2
1000000000000 | 1000000000001
0.0000001 | 0
"""

UNFINISHED = r"""
82 | 37+45
408 | 12*34
408 | 12 \cdot 34
408 | (12)(34)
6 | \frac{3 \cdot 4}{2}
1/2 | \int_0^1 x dx
5050 | \sum_{k=1}^{100} k
1 | \lim_{x \to 0} \frac{\sin x}{x}
2x | \frac{d}{dx} x^2
"""


def pairs(lines):
    return [tuple(line.split(" | ")) for line in lines.strip().splitlines()]


@pytest.mark.parametrize(("gold", "answer"), pairs(EQUAL))
def test_equal(gold, answer):
    assert readable(normal(gold))
    assert equal(normal(gold), normal(answer)) is True


@pytest.mark.parametrize(("gold", "answer"), pairs(DIFFERENT))
def test_different(gold, answer):
    assert readable(normal(gold))
    assert equal(normal(gold), normal(answer)) is False


@pytest.mark.parametrize(("gold", "answer"), pairs(UNFINISHED))
def test_work_left_to_the_grader_is_no_answer(gold, answer):
    with pytest.raises(UnfinishedError):
        equal(normal(gold), normal(answer))


@pytest.mark.parametrize("gold", [gold for gold, _ in pairs(EQUAL)])
def test_a_gold_equals_itself(gold):
    assert equal(normal(gold), normal(gold))


def test_a_gold_may_ask_for_an_integral():
    assert equal(normal(r"\int x^2 dx"), normal(r"\int  x^2 \, dx"))


@pytest.mark.parametrize("answer", [r"\frac{}", "%%%", "1,,2", "x +", r"\le"])
def test_unreadable(answer):
    with pytest.raises(UnreadableError):
        equal("7", normal(answer))


@pytest.mark.parametrize(
    "gold", ["%%%", r"\frac{}", "(1,)", r"\{1,%%\}", "x+" * 100, r"\begin{pmatrix}1&\\2\end{pmatrix}"]
)
def test_golds_that_mean_nothing(gold):
    assert not readable(normal(gold))


numbers = st.integers(-99, 99).map(str)


@given(st.lists(numbers, min_size=2, max_size=6, unique=True), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_sets_in_any_order_and_tuples_in_theirs(values, random):
    shuffled = random.sample(values, len(values))
    assert equal(normal("\\{" + ",".join(values) + "\\}"), normal("\\{" + ", ".join(shuffled) + "\\}"))
    assert equal(normal("(" + ",".join(values) + ")"), normal("(" + ", ".join(shuffled) + ")")) is (values == shuffled)


@given(st.lists(numbers, min_size=2, max_size=6, unique=True))
@settings(deadline=None)
def test_a_list_of_candidates_is_no_single_answer(values):
    assert equal(values[0], ", ".join(values)) is False
