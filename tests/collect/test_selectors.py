"""Selectors: what they find in everyday and odd pages."""

import pytest
from parsel import Selector

from embedkit.collect.selectors import addresses, largest, texts

PAGE = """<html><body><div><article>
<p class="a">Lunch<br>目黒<br>駅前 <b>bowl</b><script>var x = 1</script></p>
<ul><li>one</li><li>two</li></ul>
<img src="data:image/gif;base64,R0" data-src="/lazy.jpg"><a href="javascript:go()">x</a>
</article></div></body></html>"""


def element(selector: str = "") -> Selector:
    page = Selector(text=PAGE, type="html")
    return page.css(selector)[0] if selector else page


def test_line_breaks_and_blocks_separate_words() -> None:
    assert texts(element(), "p") == ["Lunch\n目黒\n駅前 bowl"]
    assert texts(element(), "ul") == ["one\ntwo"]
    assert texts(element(), "p b::text") == ["bowl"]


def test_addresses_are_those_of_the_web() -> None:
    assert addresses(element(), "img") == ["/lazy.jpg"]
    assert addresses(element(), "a") == []


@pytest.mark.parametrize("selector", ["/html/body/div/article/img", "//img", "./body//img"])
def test_an_absolute_xpath_starts_at_the_page(selector: str) -> None:
    assert addresses(element(), selector) == ["/lazy.jpg"]


def test_an_xpath_of_a_post_starts_at_the_post() -> None:
    assert addresses(element("article"), "//img") == ["/lazy.jpg"]
    assert addresses(element("ul"), "//img") == []


@pytest.mark.parametrize(
    ("srcset", "address"),
    [
        ("a.jpg 1x, b.jpg 2x", "b.jpg"),
        ("a.jpg 640w,\n b.jpg 1280w", "b.jpg"),
        ("/h_200,w_300/a.jpg 300w, /h_400,w_600/a.jpg 600w", "/h_400,w_600/a.jpg"),
        ("a.jpg", "a.jpg"),
        ("a.jpg, b.jpg 1.5x", "b.jpg"),
        ("", ""),
    ],
)
def test_the_largest_picture_of_a_srcset_is_found(srcset: str, address: str) -> None:
    assert largest(srcset) == address
