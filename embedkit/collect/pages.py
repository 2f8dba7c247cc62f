"""Read a page: its photos with their facts, further pages, and what its site forbids."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from embedkit.collect.directives import Directives
from embedkit.collect.hosts import normalised
from embedkit.collect.recipe import FACTS, PageSelectors
from embedkit.collect.selectors import addresses, select, texts

if TYPE_CHECKING:
    from parsel import Selector


@dataclass(frozen=True)
class FoundImage:
    """A photo on a page."""

    url: str
    """Its normalised address."""
    facts: Mapping[str, str]
    """What the page says about it, by the names in :data:`FACTS`; tags one a line."""


@dataclass(frozen=True)
class Page:
    """The content of a page."""

    items: int
    """Number of posts."""
    images: tuple[FoundImage, ...]
    """The photos, in order."""
    next: tuple[str, ...]
    """The normalised addresses of further pages of the list."""
    posts: tuple[str, ...]
    """The normalised addresses of pages of single posts."""
    directives: Directives
    """What the page itself forbids."""


def read_page(text: str, url: str, selectors: PageSelectors, agents: Collection[str]) -> Page:
    """Read the HTML of a page from an address, which relative addresses start at."""
    from parsel import Selector

    document = Selector(text=text or "<html></html>", type="html")
    base = normalised(document.xpath("//base/@href").get() or "", url) or url
    items = select(document, selectors.item) if selectors.item else [document]
    images = []
    for item in items:
        facts = _facts(item, selectors)
        images += [FoundImage(found, facts) for found in _urls(item, selectors.image, base)]
    directives = Directives()
    for meta in document.xpath("//meta[@name and @content]"):
        name = meta.attrib["name"].strip().lower()
        if name in ("robots", *agents):
            directives |= Directives.parse([meta.attrib["content"]])
    return Page(
        len(items),
        tuple(images),
        _urls(document, selectors.next, base),
        _urls(document, selectors.follow, base),
        directives,
    )


def _facts(item: "Selector", selectors: PageSelectors) -> dict[str, str]:
    facts = {}
    for name in FACTS:
        found = texts(item, getattr(selectors, name))
        if name == "tags":
            facts[name] = "\n".join(dict.fromkeys(found))
        elif name == "caption":
            facts[name] = "\n".join(found)
        else:
            facts[name] = found[0] if found else ""
    return {name: value for name, value in facts.items() if value}


def _urls(place: "Selector", selector: str, base: str) -> tuple[str, ...]:
    """Return the normalised addresses that a selector finds, each once."""
    urls = (normalised(text, base) for text in addresses(place, selector))
    return tuple(dict.fromkeys(url for url in urls if url))
