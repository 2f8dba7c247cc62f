"""What a site forbids beside robots.txt: X-Robots-Tag headers and robots meta elements."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

FORBID_IMAGES = ("noai", "noimageai", "noindex", "noimageindex", "noml", "none")
"""Directives that forbid to store the images of a response."""
FORBID_LINKS = ("nofollow", "none")
"""Directives that forbid to follow the links of a page."""
_WITH_VALUES = ("unavailable_after", "max-snippet", "max-image-preview", "max-video-preview")
"""Directives with a colon, which a name of a crawler has too."""
_CRAWLER = re.compile(r"\s*([a-z0-9_*-]+)\s*:")


@dataclass(frozen=True)
class Directives:
    """The directives of a response or a page that forbid something."""

    names: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, values: Iterable[str], agents: Collection[str] = ()) -> "Directives":
        """Read the values of X-Robots-Tag headers or meta elements.

        A value such as ``otherbot: noindex`` counts only if it names one of ``agents``, which are
        in lower case.
        """
        names: set[str] = set()
        for value in values:
            applies = True
            for part in re.split("[,;]", value.lower()):
                named = _CRAWLER.match(part)
                if named and named[1] not in _WITH_VALUES:
                    # It names the crawler that this and the following directives are for.
                    applies, part = named[1] in ("*", *agents), part[named.end() :]
                if applies:
                    names.update(part.split())
        return cls(frozenset(names & {*FORBID_IMAGES, *FORBID_LINKS}))

    def __or__(self, other: "Directives") -> "Directives":
        return Directives(self.names | other.names)

    @property
    def forbids_images(self) -> str | None:
        """The directive that forbids to store images; None if there is none."""
        return next((name for name in FORBID_IMAGES if name in self.names), None)

    @property
    def forbids_links(self) -> str | None:
        """The directive that forbids to follow links; None if there is none."""
        return next((name for name in FORBID_LINKS if name in self.names), None)
