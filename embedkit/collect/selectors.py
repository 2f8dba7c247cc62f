"""Selectors of a recipe: CSS, or XPath that begins with / or ./."""

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from embedkit._internal.text import one_line

if TYPE_CHECKING:
    from parsel import Selector

_ADDRESSES = ("src", "data-src", "data-original", "href", "content")
"""Attributes that contain an address, the most likely first."""
_INSIDE = re.compile(r"\s*(?:data|javascript|about|blob|mailto):", re.I)
"""Start of an address of something that is not on the web."""
_CANDIDATE = re.compile(r"[\s,]*(?P<url>\S+?)(?:,(?=\s|$)|\s+(?P<size>\d+(?:\.\d+)?)[wx]\b|\s|$)")
"""One picture of a ``srcset``."""
_NEW_LINE = frozenset(
    (
        *("address", "article", "aside", "blockquote", "br", "dd", "div", "dl", "dt", "figcaption"),
        *("figure", "footer", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main"),
        *("nav", "ol", "p", "pre", "section", "table", "td", "th", "tr", "ul"),
    )
)
"""Elements that begin and end with a line feed."""
_NO_TEXT = frozenset(("script", "style", "noscript", "template"))


def is_xpath(selector: str) -> bool:
    """Return whether a selector is an XPath expression, and not CSS."""
    return selector.startswith(("/", "./", "(", "@", "string(", "normalize-space("))


def check_selector(selector: str) -> str | None:
    """Return what is wrong with a selector; None for a valid one."""
    from parsel import Selector

    try:
        select(Selector(text="<p></p>", type="html"), selector)
    except Exception as error:  # cssselect and lxml raise errors of several kinds
        return one_line(error)
    return None


def select(place: "Selector", selector: str) -> Sequence["Selector"]:
    """Return what a selector finds below an element.

    An XPath expression that begins with / starts at the element too, unless that is the page.
    """
    if not is_xpath(selector):
        return place.css(selector)
    is_page = place.root.getparent() is None
    return place.xpath(f".{selector}" if selector[0] == "/" and not is_page else selector)


def texts(place: "Selector", selector: str) -> list[str]:
    """Return the texts that a selector finds; empty ones are left out.

    An element counts with all the text in it. White space is collapsed; line breaks and blocks,
    such as paragraphs, begin a new line.
    """
    found = []
    for item in select(place, selector) if selector else ():
        raw = "".join(_parts(item.root)) if _is_element(item) else item.get() or ""
        lines = (" ".join(line.split()) for line in raw.split("\n"))
        if text := "\n".join(filter(None, lines)):
            found.append(text)
    return found


def _parts(element: Any) -> Iterator[str]:
    """Yield the texts in an element, and line feeds."""
    if not isinstance(element.tag, str) or element.tag in _NO_TEXT:  # a comment has no tag
        return
    if element.text:
        yield " ".join(element.text.splitlines())
    for child in element:
        if child.tag in _NEW_LINE:
            yield "\n"
        yield from _parts(child)
        if child.tag in _NEW_LINE:
            yield "\n"
        if child.tail:
            yield " ".join(child.tail.splitlines())


def addresses(place: "Selector", selector: str) -> list[str]:
    """Return the addresses that a selector finds.

    Of an element that is found, the address is that of the largest picture of ``srcset``, or else
    of ``src``, ``data-src``, ``href`` and the like; of a ``srcset``, it is that of the largest
    picture.
    """
    found = []
    for item in select(place, selector) if selector else ():
        if _is_element(item):
            values = [largest(item.attrib.get("srcset", ""))]
            values += [item.attrib.get(name, "") for name in _ADDRESSES]
        else:
            text = item.get() or ""
            values = [largest(text) if "srcset" in selector else text]
        usable = [text.strip() for text in values if text.strip() and not _INSIDE.match(text)]
        found += usable[:1]
    return found


def largest(srcset: str) -> str:
    """Return the address of the largest picture of a ``srcset``: the greatest width or density.

    Addresses end at white space, or at a comma before it (HTML standard, parsing of srcset).
    """
    best, address = -1.0, ""
    for candidate in _CANDIDATE.finditer(srcset):
        size = float(candidate["size"] or 1)
        if size > best:
            best, address = size, candidate["url"].rstrip(",")
    return address


def _is_element(item: "Selector") -> bool:
    return hasattr(item.root, "tag")
