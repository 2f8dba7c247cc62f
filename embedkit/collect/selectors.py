"""Selectors of a recipe: CSS, or XPath that begins with / or ./."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from embedkit._internal.text import one_line

if TYPE_CHECKING:
    from parsel import Selector

_ADDRESSES = ("src", "data-src", "data-original", "href", "content")
"""Attributes that contain an address, the most likely first."""


def is_xpath(selector: str) -> bool:
    """Return whether a selector is an XPath expression, and not CSS."""
    return selector.startswith(("/", "./", "(", "@", "string(", "normalize-space("))


def check_selector(selector: str) -> str | None:
    """Return what is wrong with a selector; None for a valid one."""
    from parsel import Selector

    try:
        select(Selector(text="<p></p>"), selector)
    except Exception as error:  # cssselect and lxml raise errors of several kinds
        return one_line(error)
    return None


def select(place: "Selector", selector: str) -> Sequence["Selector"]:
    """Return what a selector finds below an element.

    An XPath expression that begins with / starts at the element too, not at the page.
    """
    if not is_xpath(selector):
        return place.css(selector)
    return place.xpath(f".{selector}" if selector.startswith("/") else selector)


def texts(place: "Selector", selector: str) -> list[str]:
    """Return the texts that a selector finds, with white space collapsed; empty ones are left out.

    An element that is found counts with all the text in it.
    """
    found = []
    for item in select(place, selector) if selector else ():
        raw = item.xpath("string()").get() if _is_element(item) else item.get()
        if text := " ".join((raw or "").split()):
            found.append(text)
    return found


def addresses(place: "Selector", selector: str) -> list[str]:
    """Return the addresses that a selector finds.

    Of an element that is found, the address is that of ``src``, ``href`` and the like; of a
    ``srcset``, it is that of the largest picture.
    """
    found = []
    for item in select(place, selector) if selector else ():
        if _is_element(item):
            sources = item.attrib.get("srcset")
            values = [item.attrib.get(name) for name in _ADDRESSES]
            text = largest(sources) if sources else next(filter(None, values), "")
        else:
            text = item.get() or ""
            if "srcset" in selector:
                text = largest(text)
        if text and text.strip():
            found.append(text.strip())
    return found


def largest(srcset: str) -> str:
    """Return the address of the largest picture of a ``srcset``: the greatest width or density."""
    best, address = -1.0, ""
    for candidate in srcset.split(", ") if ", " in srcset else srcset.split(","):
        parts = candidate.strip().rstrip(",").split()
        if not parts:
            continue
        try:
            size = float(parts[1][:-1]) if len(parts) > 1 else 1.0
        except ValueError:
            size = 0.0
        if size > best:
            best, address = size, parts[0]
    return address


def _is_element(item: "Selector") -> bool:
    return hasattr(item.root, "tag")
