"""Folding of text for matching."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedkit.collect.normalise import normalise

TRICKY = "かガｶﾞﾊﾟァー-−ｰ ゛゜\u3099\u309a\u200b\u3000\n\r\t\x85三田ヶゕヷßİΐΰﬃ①㍿·・･〜~ａＢ1２#♯"


@pytest.mark.parametrize(
    ("written", "folded"),
    [
        ("Ｒａｍｅｎ　ＪＩＲＯ", "ramen jiro"),
        ("ﾗｰﾒﾝ二郎 ﾋﾊﾞﾘｶﾞｵｶ", "ラーメン二郎ヒバリガオカ"),
        ("ひばりヶ丘", "ひばりケ丘"),
        ("ヵゕゖ", "カかけ"),
        ("三田 本店", "三田本店"),
        ("三田\u3000\u3000本店", "三田本店"),
        ("三田 \t Jiro  Mita 店 2", "三田 jiro mita 店 2"),
        ("目黒\r\n\r\n 三田 ", "目黒\n三田"),
        ("Tokyo\v\fOsaka\x85Kyoto", "tokyo\nosaka\nkyoto"),
        ("三田—目黒 ‐ 品川", "三田-目黒 - 品川"),
        ("ラ−メン", "ラーメン"),
        ("A·B•C･D", "a・b・c・d"),
        ("目\u200b黒\ufeff店", "目黒店"),
        ("か\u3099", "が"),
        ("か゛ ﾊ゜", "がパ"),
        ("野猿街道店２", "野猿街道店2"),
        ("＃二郎♯目黒", "#二郎#目黒"),
        (" \n ", ""),
        ("", ""),
    ],
)
def test_spellings_of_the_same_text_fold_alike(written: str, folded: str) -> None:
    assert normalise(written) == folded


def test_katakana_and_hiragana_stay_apart_so_that_a_topping_is_not_found_in_a_verb() -> None:
    assert normalise("マシ") not in normalise("食べました")


def test_a_dash_beside_chinese_characters_stays_a_dash() -> None:
    assert normalise("三田−ひばり") == "三田-ひばり"


@settings(deadline=None)  # a busy machine is slow
@given(st.text() | st.text(alphabet=TRICKY))
def test_folding_twice_changes_nothing(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


@settings(deadline=None)  # a busy machine is slow
@given(st.text(alphabet=TRICKY))
def test_folded_text_has_no_space_but_single_spaces_and_line_feeds(text: str) -> None:
    folded = normalise(text)
    assert folded == folded.strip()
    assert not any(letter.isspace() and letter not in " \n" for letter in folded)
    assert not any(pair in folded for pair in ("  ", " \n", "\n ", "\n\n"))
