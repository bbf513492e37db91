"""One spelling for many: what means the same to a reader is written the same before anything is compared.

Unicode signs and digits become LaTeX and ASCII; sizes, fonts, dollar signs, odd spaces and a closing full stop go. A
new synonym is a row of a table here. Nothing here knows what a number or a set is. Time is linear in the text.
"""

from __future__ import annotations

import re
import unicodedata

_SIGNS = str.maketrans(
    {
        **{chr(0xFF01 + i): chr(0x21 + i) for i in range(94)},
        **dict.fromkeys("−–‒﹣", "-"),
        **dict.fromkeys("\u00a0\u2002\u2003\u2009\u202f\u3000", " "),
        **dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff€£¥", ""),
        **dict.fromkeys("·⋅", r"\cdot "),
        **{"×": r"\times ", "÷": r"\div ", "±": r"\pm ", "∓": r"\mp ", "∞": r"\infty ", "π": r"\pi ", "°": r"^\circ "},
        **{"≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ", "≈": r"\approx ", "∈": r"\in ", "∪": r"\cup ", "∩": r"\cap "},
        **{"∅": r"\emptyset ", "ℝ": r"\mathbb{R}", "√": r"\sqrt ", "θ": r"\theta ", "α": r"\alpha ", "β": r"\beta "},
        **{"½": " 1/2", "⅓": " 1/3", "⅔": " 2/3", "¼": " 1/4", "¾": " 3/4", "⅕": " 1/5", "⅙": " 1/6", "⅛": " 1/8"},
    }
)
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_FONTS = "mathrm|mathbf|mathit|mathsf|mathtt|textrm|textbf|textit|textnormal|textsf|texttt|mbox|hbox|boldsymbol|bm|emph"
_PERCENT = r"(?:percentage|percent|pct)(?![A-Za-z])"
_REWRITES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\\[dtc]frac(?![A-Za-z])", r"\\frac"),
        (r"\\(?:m?left|m?right|middle|[bB]igg?[lrm]?)(?![A-Za-z])", ""),
        (r"\\(?:displaystyle|textstyle|n?o?limits)(?![A-Za-z])", ""),
        (rf"\\(?:{_FONTS})\s*(?=\{{)", r"\\text"),
        (r"(?<=\d)(?:\\,|\{,\}|,?\\!)(?=\d{3}(?!\d))", ""),
        (r"(?<!\\)\\(?:[,;:> ]|q?quad(?![A-Za-z]))|~", " "),
        (r"(?<!\\)\\!|\\?\$|(?<!\\)\\[()\[\]]|\\(?:pounds|euro)(?![A-Za-z])", ""),
        (r"\\lbrace(?![A-Za-z])", r"\\{"),
        (r"\\rbrace(?![A-Za-z])", r"\\}"),
        (r"\\(?:langle|lparen)(?![A-Za-z])", "("),
        (r"\\(?:rangle|rparen)(?![A-Za-z])", ")"),
        (r"\\lbrack(?![A-Za-z])", "["),
        (r"\\rbrack(?![A-Za-z])", "]"),
        (r"\\[lr]?vert(?![A-Za-z])", "|"),
        (rf"\\%|\\text\{{\s*{_PERCENT}\s*\}}|(?<![A-Za-z\\]){_PERCENT}", "%"),
        (r"\\(?:var)?nothing(?![A-Za-z])|\\\{\s?\\\}|(?<![A-Za-z])(?:the )?empty set(?![A-Za-z])", r"\\emptyset "),
        (r"(?<![A-Za-z\\])infinity(?![A-Za-z])", r"\\infty "),
        (r"(?<![A-Za-z\\])pi(?![A-Za-z])", r"\\pi "),
        (r"\\leq?(?:slant)?(?![A-Za-z])|<=", r"\\le "),
        (r"\\geq?(?:slant)?(?![A-Za-z])|>=", r"\\ge "),
        (r"\\neq?(?![A-Za-z])|!=", r"\\ne "),
        (r"\\lt(?![A-Za-z])", "<"),
        (r"\\gt(?![A-Za-z])", ">"),
        (r"\*\*", "^"),
        (r"(?<=\d)\s?([AaPp])\.?[Mm]\.?(?![A-Za-z])", r" \1m"),
        (r"\\degree(?:s)?(?![A-Za-z])|\^\s?(?:\\circ(?![A-Za-z])|\{\s?\\circ\s?\})", r"^\\circ "),
        (r"\\text\s?\{\s?(and|or)\s?\}", r" \1 "),
        (r"\\frac\s?(\d)\s?(\d)", r"\\frac{\1}{\2}"),
        (r"\s+", " "),
    )
)
_SUPERSCRIPT = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+")
_OTHER_DIGIT = re.compile(r"(?![0-9])\d")
_LOOSE_SPACE = re.compile(r"(?<![A-Za-z0-9]) | (?![A-Za-z0-9])")
_WRAPPER = re.compile(r"(?:\\text\s?)?\{")


def normal(text: str) -> str:
    """The text in the one spelling that everything else here reads."""
    text = without_unicode_signs(text)
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    return _unwrapped(text.strip().rstrip(".,;: "))


def without_unicode_signs(text: str) -> str:
    """The text with LaTeX for Unicode's mathematical signs, and ASCII for its digits."""
    text = _SUPERSCRIPT.sub(lambda run: f"^{{{run[0].translate(_SUPERSCRIPTS)}}}", text).translate(_SIGNS)
    return _OTHER_DIGIT.sub(lambda digit: str(unicodedata.decimal(digit[0])), text)


def key(text: str) -> str:
    """Equal for two normal texts that differ in spaces only, where a space means nothing: `1 1/2` is not `11/2`."""
    return _LOOSE_SPACE.sub("", text)


def closing(text: str, start: int) -> int:
    """Where the brace group that is open at `start` closes; -1 where it does not."""
    depth = 1
    for position in range(start, len(text)):
        if text[position] in "{}" and text[position - 1] != "\\":
            depth += 1 if text[position] == "{" else -1
            if depth == 0:
                return position
    return -1


def _unwrapped(text: str) -> str:
    """Without a `{...}` or `\\text{...}` that holds the whole text."""
    wrapper = _WRAPPER.match(text)
    if wrapper and closing(text, wrapper.end()) == len(text) - 1:
        return text[wrapper.end() : -1].strip().rstrip(".,;: ")
    return text
