"""Label rules: their meaning, and the messages for rules that are wrong."""

import re
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedkit.collect.keywords import words_of
from embedkit.collect.phrases import PhraseFinder, phrase_of
from embedkit.collect.rules import MAX_TEXT, Decision, LabelRules
from embedkit.errors import BadRecipe

WHERE = "/photos/collect.toml"


def rule(label: str | None, *keywords: str, **more: Any) -> dict[str, Any]:
    owner: dict[str, Any] = {"other": True} if label is None else {"label": label}
    return {**owner, **({"keywords": list(keywords)} if keywords else {}), **more}


def made(*rules: dict[str, Any], **more: Any) -> LabelRules:
    return LabelRules.from_table({"rules": list(rules), **more}, WHERE)


def label(rules: LabelRules, caption: str, **more: str) -> str | None:
    return rules.decide({"caption": caption, **more}).label


STORES = made(
    rule("mita", "三田本店", "二郎 三田", "mita"),
    rule("meguro", "目黒店", "目黒二郎", "meguro"),
    rule("hibari", "ひばりヶ丘", "ヒバリガオカ"),
    rule("yaen", "野猿街道店2", "スモジ"),
)


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("ラーメン二郎 三田本店", "mita"),
        ("ラーメン二郎　三田　本店", "mita"),
        ("三田\n本店", None),
        ("ラーメン二郎 #三田", "mita"),
        ("ラーメン二郎【三田】", "mita"),
        ("ラーメン二郎。三田は遠い", None),
        ("ラーメン二郎は行列、三田も", None),
        ("#ラーメン二郎目黒店", "meguro"),
        ("＃目黒二郎", "meguro"),
        ("ﾋﾊﾞﾘｶﾞｵｶ", "hibari"),
        ("ひばりケ丘", "hibari"),
        ("ＭＩＴＡ", "mita"),
        ("Mita_honten", "mita"),
        ("二郎mita店", "mita"),
        ("mitaka", None),
        ("kamita", None),
        ("mita2", None),
        ("野猿街道店２", "yaen"),
        ("野猿街道店21", None),
        ("スモジの小", "yaen"),
        ("ラーメン", None),
        ("", None),
    ],
)
def test_a_keyword_is_found_in_the_spellings_of_captions(caption: str, expected: str) -> None:
    assert label(STORES, caption) == expected


def test_two_stores_are_ambiguous_and_named() -> None:
    assert STORES.decide({"caption": "三田本店と目黒店"}) == Decision(
        None, "ambiguous", ("meguro", "mita")
    )
    assert STORES.decide({"caption": "三田本店", "tags": "目黒店"}).outcome == "ambiguous"


def test_one_store_is_the_label_and_none_is_unmatched() -> None:
    assert STORES.decide({"caption": "目黒店"}) == Decision("meguro", "label", ("meguro",))
    assert STORES.decide({"caption": "池袋"}) == Decision(None, "unmatched", ())
    assert STORES.decide({}) == Decision(None, "unmatched", ())


def test_labels_come_in_the_order_of_the_rules() -> None:
    assert STORES.labels == ("mita", "meguro", "hibari", "yaen")


def test_a_name_inside_a_longer_name_does_not_count() -> None:
    rules = made(rule("meguro", "目黒"), rule("naka", "中目黒"), rule("naka2", "中目黒駅前"))
    assert label(rules, "中目黒") == "naka"
    assert label(rules, "中目黒駅前") == "naka2"
    assert rules.decide({"caption": "中目黒と目黒"}).candidates == ("meguro", "naka")


def test_names_that_only_overlap_count_both() -> None:
    rules = made(rule("a", "三田二郎"), rule("b", "二郎目黒"))
    assert rules.decide({"caption": "三田二郎目黒"}).candidates == ("a", "b")


def test_a_name_inside_a_match_of_a_pattern_does_not_count() -> None:
    rules = made(rule("meguro", "目黒"), rule("next", patterns=["次は.{1,4}へ"]))
    assert label(rules, "次は目黒へ") == "next"


def test_two_tags_side_by_side_make_no_name() -> None:
    assert STORES.decide({"tags": "目黒\n二郎"}).outcome == "unmatched"
    assert STORES.decide({"tags": "目黒二郎\n小"}).label == "meguro"
    assert made(rule("a", patterns=[r"目黒\s*二郎"])).decide({"tags": "目黒\n二郎"}).label is None


def test_patterns_are_folded_like_the_text() -> None:
    rules = made(
        rule("a", patterns=["Ｊｉｒｏ", r"ひばりヶ丘(?P<Shop>店)"]),
        rule("b", patterns=[r"JIRO\S+[A-Z]2"]),
    )
    assert label(rules, "ひばりケ丘店") == "a"
    assert label(rules, "jiro") == "a"
    assert label(made(rule("b", patterns=[r"MITA\S+[A-Z]"])), "Mita2x") == "b"


def test_a_full_width_bracket_in_a_pattern_is_a_bracket_of_the_text() -> None:
    assert label(made(rule("a", patterns=["（目黒）"])), "二郎(目黒)") == "a"


def test_a_keyword_inside_an_exception_does_not_count() -> None:
    rules = made(rule("mita", "三田", unless=["三田製麺所"]), rule("b", "三田製"))
    assert label(rules, "三田製麺所") == "b"
    assert label(made(rule("mita", "三田", unless=["三田製麺所"])), "三田製麺所") is None
    assert label(made(rule("mita", "三田", unless=["三田製麺所"])), "三田製麺所 三田") == "mita"


def test_common_exceptions_apply_to_each_rule_and_to_what_is_required() -> None:
    rules = made(
        rule("mita", "三田"),
        rule("meguro", "目黒"),
        unless={"keywords": ["中目黒", "二郎系"], "patterns": ["三田(駅|線)"]},
        requires=["二郎"],
    )
    assert label(rules, "二郎 三田線で目黒") == "meguro"
    assert label(rules, "二郎 中目黒から三田") == "mita"
    assert label(rules, "二郎系 目黒") is None
    assert label(rules, "二郎系 目黒 二郎") == "meguro"


def test_an_occurrence_beside_an_exception_does_not_count() -> None:
    rules = made(
        rule("mita", "三田"),
        rule("meguro", "目黒"),
        unless={"before": ["次は(二郎)?", "^元"], "after": ["より", "駅(?!前)"]},
    )
    assert label(rules, "三田より旨い目黒") == "meguro"
    assert label(rules, "三田、次は二郎目黒") == "mita"
    assert label(rules, "元三田") is None
    assert label(rules, "地元三田") == "mita"
    assert label(rules, "三田駅から目黒駅前") == "meguro"
    assert rules.decide({"tags": "次は\n目黒"}).label == "meguro"


def test_a_rule_counts_only_where_a_required_term_occurs() -> None:
    rules = made(
        rule("mita", "三田"),
        rule("meguro", "目黒", requires=[]),
        rule("sengawa", "仙川", requires={"patterns": ["^.{1,4}$"]}),
        requires=["二郎"],
    )
    assert label(rules, "三田") is None
    assert label(rules, "三田", tags="ラーメン二郎") == "mita"
    assert label(rules, "三田", page="ラーメン二郎") is None
    assert label(rules, "目黒") == "meguro"
    assert label(rules, "仙川だ") == "sengawa"
    assert label(rules, "仙川の二郎です") is None


def test_only_the_highest_priority_remains() -> None:
    rules = made(
        rule("mita", "三田"),
        rule("mita", "@三田店", priority=1),
        rule("meguro", "目黒"),
        rule("sengawa", "仙川", priority=-1),
    )
    assert label(rules, "目黒から @三田店") == "mita"
    assert label(rules, "仙川の目黒") == "meguro"
    assert rules.decide({"caption": "三田と目黒"}).outcome == "ambiguous"


def test_the_same_keyword_may_belong_to_two_labels_at_two_priorities() -> None:
    assert label(made(rule("a", "三田"), rule("b", "三田", priority=1)), "三田") == "b"


def test_a_rule_for_none_of_the_classes_competes_with_labels() -> None:
    rules = made(
        rule("meguro", "目黒"),
        rule("meguro", "目黒二郎", priority=2),
        rule(None, "中本", priority=1),
        rule(None, "焼肉"),
    )
    assert rules.decide({"caption": "中本 目黒"}) == Decision(None, "unmatched", ())
    assert rules.decide({"caption": "焼肉 目黒"}) == Decision(None, "ambiguous", ("meguro",))
    assert rules.decide({"caption": "中本のあと目黒二郎"}).label == "meguro"


def test_a_rule_for_none_of_the_classes_needs_nothing_that_labels_require() -> None:
    rules = made(rule("meguro", "目黒"), rule(None, "中本", priority=1), requires=["目"])
    assert label(rules, "中本 目黒") is None


def test_rules_look_only_at_their_fields() -> None:
    rules = made(rule("a", "三田"), rule("b", "目黒", fields=["page"]), fields=["tags"])
    assert rules.decide({"caption": "三田 目黒", "url": "三田"}).label is None
    assert rules.decide({"tags": "三田 目黒"}).label == "a"
    assert rules.decide({"page": "三田 目黒"}).label == "b"


@pytest.mark.parametrize(
    "url", ["https://example.com/二郎-目黒/1", quote("x/目黒_二郎"), "a+MEGURO"]
)
def test_addresses_are_decoded(url: str) -> None:
    rules = made(rule("meguro", "目黒 二郎", "二郎 目黒", "meguro"), fields=["url"])
    assert rules.decide({"url": url}).label == "meguro"


def test_a_text_is_read_up_to_its_limit() -> None:
    assert label(STORES, "あ" * (MAX_TEXT - 3) + "目黒店") == "meguro"
    assert label(STORES, "あ" * (MAX_TEXT - 2) + "目黒店") is None


PIECES = ["三田", "目黒", "二郎", "店", "中", "mita", " ", "\n", "、", "店2", "駅", "#"]
RULES = [
    rule("a", "三田", "mita", "三田 二郎"),
    rule("b", "目黒", "目黒店2"),
    rule("c", "中目黒", priority=1),
    rule("c", patterns=["二郎.店"]),
    rule("a", "三田店", priority=1, unless=["三田店2"]),
    rule(None, "二郎駅"),
]


@settings(deadline=None)  # a busy machine is slow
@given(
    st.permutations(RULES),
    st.lists(st.sampled_from(PIECES), max_size=12).map("".join),
    st.lists(st.sampled_from(PIECES), max_size=12).map("".join),
)
def test_the_order_of_rules_does_not_matter(
    shuffled: list[dict[str, Any]], caption: str, tags: str
) -> None:
    texts = {"caption": caption, "tags": tags}
    assert made(*shuffled).decide(texts) == made(*RULES).decide(texts)


@settings(deadline=None)  # a busy machine is slow
@given(
    st.lists(st.text("ab三", min_size=1, max_size=3), min_size=1, max_size=8, unique=True),
    st.text("ab三- ", max_size=12),
)
def test_each_occurrence_of_a_keyword_is_found(keywords: list[str], text: str) -> None:
    expected = {
        (start, start + len(keyword), number)
        for number, keyword in enumerate(keywords)
        for start in range(len(text))
        if text.startswith(keyword, start)
        and not re.search("[ab]{2}", text[max(0, start - 1) : start] + keyword[0])
        and not re.search("[ab]{2}", keyword[-1] + text[start + len(keyword) :][:1])
    }
    phrases = [(phrase_of(keyword), number) for number, keyword in enumerate(keywords)]
    found = PhraseFinder(phrases, {}, {}).find(text)
    assert sorted(found) == sorted(expected)


WORDS = {"jiro": ["二郎", "jiro", "二 郎"]}
NAMES = {"a": ["三田", "mita"], "b": ["目黒", "目黒三田"]}
FORMS = [
    "{jiro} {name}",
    "{name}の{jiro}",
    "mita {name} 店",
    "#{name}",
    "{name}{name}",
    "{names}店",
]


def multiplied_out(form: str, label: str) -> list[str]:
    texts = [form]
    for word, spellings in (
        *WORDS.items(),
        ("name", NAMES[label]),
        ("names", [name for names in NAMES.values() for name in names]),
    ):
        while any(f"{{{word}}}" in text for text in texts):
            texts = [text.replace(f"{{{word}}}", one, 1) for text in texts for one in spellings]
    return texts


@settings(deadline=None)  # a busy machine is slow
@given(
    st.lists(st.sampled_from(FORMS), min_size=1, max_size=4, unique=True),
    st.lists(
        st.sampled_from(
            ["二郎", "jiro", "三田", "mita", "目黒", "の", "店", " ", "#", "、", "。", "\n"]
        ),
        max_size=10,
    ).map("".join),
)
def test_words_in_braces_are_found_as_if_multiplied_out(forms: list[str], text: str) -> None:
    def find(keywords: list[tuple[str, str]]) -> set[tuple[int, int, int]]:
        phrases = [(phrase_of(keyword, owner), "ab".index(owner)) for keyword, owner in keywords]
        words = {word: [words_of(one) for one in texts] for word, texts in WORDS.items()}
        names = {owner: [words_of(one) for one in texts] for owner, texts in NAMES.items()}
        return set(PhraseFinder(phrases, words, names).find(text))

    with_words = [(form, owner) for form in forms for owner in NAMES]
    plain = [(text, owner) for form, owner in with_words for text in multiplied_out(form, owner)]
    assert find(with_words) == find(plain)


def test_a_rule_with_names_is_one_of_each_class() -> None:
    rules = made(
        {"keywords": ["{jiro} {name}", "{name}店"]},
        rule("mita", "本店"),
        rule(None, "{names}駅", patterns=["{jiro}風"], priority=1),
        names={"mita": ["三田", "mita"], "meguro": ["目黒", "Ｍｅｇｕｒｏ"]},
        words={"jiro": ["二郎", "ジロー", "Jiro"]},
        unless={"after": ["{jiro}系"], "keywords": ["中{names}"]},
    )
    assert rules.labels == ("mita", "meguro")
    assert label(rules, "ﾗｰﾒﾝｼﾞﾛｰ 三田") == "mita"
    assert label(rules, "Jiro, MEGURO") == "meguro"
    assert label(rules, "目黒店") == "meguro"
    assert label(rules, "本店") == "mita"
    assert label(rules, "目黒店、三田駅") is None
    assert label(rules, "目黒店、二郎風") is None
    assert label(rules, "目黒店二郎系") is None
    assert label(rules, "中目黒店") == "meguro"
    assert label(rules, "二郎 三田、ジロー 目黒") is None


def test_the_names_of_the_own_class_may_stand_in_a_rule_with_a_label() -> None:
    names = {"mita": ["三田"], "meguro": ["目黒"]}
    rules = made(rule("mita", patterns=["{name}の?本店"]), {"keywords": ["{name}店"]}, names=names)
    assert label(rules, "三田の本店") == "mita"
    assert label(rules, "目黒の本店") is None


def test_a_character_by_its_name_is_no_word() -> None:
    rules = made(rule("a", patterns=[r"\N{bullet}三田"]))
    assert label(rules, "・三田") is None
    assert label(rules, "三田") is None


def test_a_text_full_of_names_is_decided_at_once() -> None:
    assert label(STORES, "目黒店三田本店" * (MAX_TEXT // 7)) is None


GOOD = rule("a", "三田")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, "labels has no rules; add one with [[labels.rules]]"),
        ({"rules": []}, "labels has no rules; add one with [[labels.rules]]"),
        ({"rules": {"label": "a"}}, "labels.rules must be tables; write [[labels.rules]]"),
        ({"rules": [rule(None, "三田")]}, "labels has no rule with a label; add one"),
        ({"rules": [GOOD], "rule": 1}, "labels: unknown key 'rule'; known: fields, names, req"),
        ({"rules": [{**GOOD, "word": "x"}]}, "labels.rules[1]: unknown key 'word'; known: fields"),
        ({"rules": [GOOD, {"keywords": ["x"]}]}, "labels.rules[2] has no label; add one, or other"),
        ({"rules": [{**GOOD, "other": True}]}, "labels.rules[1] has both label and other = true"),
        ({"rules": [{**GOOD, "other": 1}]}, "labels.rules[1].other must be true or false"),
        ({"rules": [{**GOOD, "label": 1}]}, "labels.rules[1].label must be a string"),
        ({"rules": [{**GOOD, "label": " "}]}, "labels.rules[1].label is empty; write the name of"),
        ({"rules": [rule("a")]}, "labels.rules[1] has neither keywords nor patterns; add one"),
        ({"rules": [rule("a", keywords="x")]}, "labels.rules[1].keywords must be a list of string"),
        (
            {"rules": [rule("a", "三田", "")]},
            "labels.rules[1].keywords has an empty keyword; remov",
        ),
        ({"rules": [rule("a", "\u200b・")]}, "has neither letters nor digits; remove it"),
        (
            {"rules": [rule("a", patterns=[3])]},
            "labels.rules[1].patterns must be a list of strings",
        ),
        ({"rules": [rule("a", patterns=[""])]}, "labels.rules[1].patterns has an empty regular ex"),
        (
            {"rules": [rule("a", patterns=["三田(店"])]},
            "labels.rules[1].patterns: '三田(店' is not a regular expression: missing ), "
            "unterminated subpattern at position 2",
        ),
        ({"rules": [{**GOOD, "priority": True}]}, "labels.rules[1].priority must be an integer"),
        ({"rules": [{**GOOD, "priority": 0.5}]}, "labels.rules[1].priority must be an integer"),
        ({"rules": [GOOD], "fields": "tags"}, "labels.fields must be a list of strings"),
        ({"rules": [GOOD], "fields": []}, "labels.fields is empty; choose from caption, tags, url"),
        (
            {"rules": [{**GOOD, "fields": ["title"]}]},
            "labels.rules[1].fields: unknown field 'title'; known: caption, tags, url, page",
        ),
        ({"rules": [GOOD], "unless": "x"}, "labels.unless must be a list of keywords, or a table"),
        ({"rules": [GOOD], "unless": {"near": []}}, "labels.unless: unknown key 'near'; known: "),
        (
            {"rules": [GOOD], "unless": {"after": ["*"]}},
            "labels.unless.after: '*' is not a regular expression: nothing to repeat at position 0",
        ),
        ({"rules": [GOOD], "unless": {"before": "x"}}, "labels.unless.before must be a list of"),
        (
            {"rules": [{**GOOD, "requires": 1}]},
            "labels.rules[1].requires must be a list of keyword",
        ),
        ({"rules": [GOOD], "requires": {"after": []}}, "labels.requires: unknown key 'after'"),
        (
            {"rules": [rule("a", "三田 店"), rule("b", "三田店")]},
            "labels.rules: keyword '三田店' at priority 0 belongs to both 'a' and 'b'; remove one, "
            "or change a priority",
        ),
        ({"rules": [rule("a", "{jiro}")]}, "keywords: unknown word {jiro}; known: name, names"),
        (
            {"rules": [{"keywords": ["{name}"]}]},
            "labels.rules[1] has no label; add one, or other = true",
        ),
        (
            {"rules": [rule("a", "{name}")], "names": {"b": ["x"]}},
            "labels.rules[1].keywords: {name} needs the names of the class in labels.names",
        ),
        (
            {"rules": [GOOD], "names": {"b": ["x"]}},
            "labels.names: no rule gives 'b'; add a rule with {name} and without label",
        ),
        (
            {"rules": [GOOD], "names": {"a": ["x"], "b": ["X"]}},
            "labels.names: 'x' is a name of both 'a' and 'b'; remove one",
        ),
        ({"rules": [GOOD], "names": {"a": []}}, "labels.names.a is empty; add a spelling"),
        ({"rules": [GOOD], "names": ["a"]}, "labels.names must be a table of lists of strings"),
        ({"rules": [GOOD], "names": {"a": "x"}}, "labels.names.a must be a list of strings"),
        ({"rules": [GOOD], "words": {"a": ["・"]}}, "labels.words.a: '・' has neither letters nor"),
        ({"rules": [GOOD], "words": {"name": ["x"]}}, "labels.words: 'name' cannot be a word; use"),
        ({"rules": [GOOD], "words": {"A1": ["x"]}}, "labels.words: 'A1' cannot be a word; use"),
        (
            {"rules": [GOOD, rule(None, "三田")]},
            "keyword '三田' at priority 0 belongs to both 'a' and a rule with other = true; remove",
        ),
    ],
)
def test_a_wrong_table_has_a_message_on_one_line(table: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRecipe) as raised:
        LabelRules.from_table(table, WHERE)
    text = str(raised.value)
    assert text.startswith(f"{WHERE}: ")
    assert message in text
    assert "\n" not in text


def jiro() -> LabelRules:
    recipe = Path(__file__).parents[2] / "indexes" / "jiro" / "collect.toml"
    return LabelRules.from_table(tomllib.loads(recipe.read_text("utf-8"))["labels"], str(recipe))


JIRO = jiro()


@pytest.mark.parametrize("store", JIRO.labels)
def test_the_example_rules_know_each_store_by_its_name(store: str) -> None:
    for caption in (
        f"ラーメン二郎 {store}",
        f"ラーメン二郎{store}で小ラーメン、ニンニクアブラ",
        f"#ラーメン二郎 #{store}",
        f"二郎@{store}",
        f"小豚 ヤサイ {store}",
    ):
        assert JIRO.decide({"caption": caption}).label == store, caption
    assert JIRO.decide({"caption": "うまかった", "tags": f"ラーメン二郎\n{store}"}).label == store


@pytest.mark.parametrize(
    ("caption", "store"),
    [
        ("総本山にて小豚", "三田本店"),
        ("スモジ 小豚ヤサイ", "相模大野店"),
        ("ﾗｰﾒﾝ二郎 ﾋﾊﾞﾘｶﾞｵｶ", "ひばりヶ丘駅前店"),
        ("今日は府中！", "府中店"),
        ("二郎@神保町", "神田神保町店"),
        ("Ramen Jiro Meguro, near Meguro station", "目黒店"),
        ("#ラーメン二郎 #目黒 #二郎系", "目黒店"),
        ("新宿駅から三田へ。小ラーメン", "三田本店"),
        ("三田より旨い目黒 二郎", "目黒店"),
        ("目黒在住、三田二郎の常連", "三田本店"),
        ("昨日は三田、今日は目黒 #ラーメン二郎", "目黒店"),
        ("ラーメン二郎品川店。次回は目黒に行きたい", "品川店"),
        ("三田は行列で断念、目黒二郎へ", "目黒店"),
        ("札幌 ラーメン二郎", "札幌店"),
        ("京都で紅葉、ラーメン二郎 京都店", "京都店"),
        ("三田二郎と目黒二郎をはしご", None),
        ("新宿の二郎", None),
        ("蒙古タンメン中本 目黒店", None),
        ("ラーメン豚山 上野毛店 ニンニクマシマシ", None),
        ("二郎系ラーメン 麺屋あっぱれ 目黒店 ニンニクマシ", None),
        ("AFURI 目黒店 柚子塩ラーメン", None),
        ("元二郎目黒店の店主が開いた店", None),
        ("ラーメン二郎 赤羽店", None),
        ("東京都内の二郎", None),
        ("京都の紅葉", None),
        ("府中で競馬", None),
        ("クラスモジュール", None),
    ],
)
def test_the_example_rules_read_captions_as_a_person_does(caption: str, store: str | None) -> None:
    assert label(JIRO, caption) == store


def test_the_example_rules_have_forty_stores() -> None:
    assert len(JIRO.labels) == 40
