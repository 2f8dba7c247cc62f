"""Fold text, so that different spellings of a name compare equal.

Katakana and hiragana stay apart: as one script, the topping マシ would be found in 食べました.
"""

import re
import unicodedata

_KANA = "\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff"
CJK = f"\u3005-\u3007\u303b\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff{_KANA}"
"""Letters that are written without spaces between words, as the inside of a character class."""

_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2043\u2212\ufe58\ufe63\uff0d"
_DOTS = "\u00b7\u0387\u2022\u2027\u2219\u22c5\uff65"
_INVISIBLE = "\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufe0e\ufe0f\ufeff"
_LINE_ENDS = "\x85\u2028\u2029"
_TABLE = str.maketrans(
    {
        **dict.fromkeys(_DASHES, "-"),
        **dict.fromkeys(_DOTS, "\u30fb"),
        **dict.fromkeys(_INVISIBLE),
        **dict.fromkeys(_LINE_ENDS, "\n"),
        "ヵ": "カ",
        "ヶ": "ケ",
        "ゕ": "か",
        "ゖ": "け",
        "\u301c": "~",
        "\u266f": "#",
        "\u309b": "\u3099",  # voicing marks, which NFKC joins to the kana before them
        "\u309c": "\u309a",
    }
)
_REPLACED = re.compile(f"[{''.join(map(chr, _TABLE))}]")
_LINE_BREAK = re.compile(r"\s*[\n\r\v\f\x1c-\x1e]\s*")
_SPACES = re.compile(r"[^\S\n]+")
_SPACE_IN_CJK = re.compile(f"(?<=[{CJK}]) (?=[{CJK}])")
_DASH_IN_KANA = re.compile("(?<=[ぁ-ゖァ-ヺ])-(?=[ぁ-ゖァ-ヺ])")


def normalise(text: str) -> str:
    """Return text folded for matching.

    Full-width letters become half-width ones, half-width katakana full-width ones (Unicode NFKC),
    and capitals small letters. ヶ and ヵ become ケ and カ, dashes ``-`` and middle dots ``・``; a
    dash between two kana becomes the long vowel mark. Characters without width are removed. Spaces
    between two Chinese or Japanese characters are removed, other runs of spaces become one space,
    and line breaks with the spaces around them one line feed. Folding twice changes nothing.
    """
    if text.isascii():
        text = text.lower()
    else:
        text = _composed(_replaced(text)).casefold()
        text = _replaced(_composed(text))
    if not text.isprintable():
        text = _LINE_BREAK.sub("\n", text)
    text = _SPACES.sub(" ", text).strip()
    if text.isascii():
        return text
    if " " in text:
        text = _SPACE_IN_CJK.sub("", text)
    return _DASH_IN_KANA.sub("ー", text) if "-" in text else text


def _replaced(text: str) -> str:
    # Most text contains none of these characters, and a search is faster than a translation.
    return text.translate(_TABLE) if _REPLACED.search(text) else text


def _composed(text: str) -> str:
    if unicodedata.is_normalized("NFKC", text):
        return text
    return unicodedata.normalize("NFKC", text)
