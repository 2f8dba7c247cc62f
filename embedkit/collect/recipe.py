"""collect.toml: where the photos of a collection come from, which embedkit reads and never writes.

``docs/reference/collect-recipe.md`` describes every key.
"""

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from embedkit._internal.artifacts import regular_file_size
from embedkit._internal.paths import absolute, shown
from embedkit.collect.hosts import AllowedHosts, allowed_name, host_of, normalised
from embedkit.collect.rules import LabelRules
from embedkit.collect.selectors import check_selector
from embedkit.errors import BadRecipe

MAX_BYTES = 1 << 20
"""Maximum size of a recipe, bytes."""
FACTS = ("caption", "tags", "post", "author", "date", "licence")
"""What is known about a photo besides its image and its page."""


@dataclass(frozen=True)
class PageSelectors:
    """Where the photos on a page are: CSS selectors, or XPath expressions that begin with / or ./.

    Attributes
    ----------
    image : str
        The address of each photo.
    item : str
        The element of one post; the selectors of the photo and its facts are relative to it.
        Without one, the whole page is one post.
    caption, tags, post, author, date, licence : str
        The facts of a photo.
    next : str
        The addresses of further pages of the list.
    follow : str
        The addresses of the pages of single posts.
    """

    image: str
    item: str = ""
    caption: str = ""
    tags: str = ""
    post: str = ""
    author: str = ""
    date: str = ""
    licence: str = ""
    next: str = ""
    follow: str = ""

    @property
    def digest(self) -> str:
        """The SHA-256 of all selectors, hex: pages that were read with others are read again."""
        return _digest(asdict(self))


@dataclass(frozen=True)
class ListColumns:
    """A table of image addresses: its path, and the names of its columns.

    The columns of the facts are optional: one that the table lacks is empty.
    """

    file: str
    url: str = "url"
    page: str = "page"
    caption: str = "caption"
    tags: str = "tags"
    post: str = "post"
    author: str = "author"
    date: str = "date"
    licence: str = "licence"


@dataclass(frozen=True)
class Limits:
    """How fast and how much to fetch.

    Attributes
    ----------
    delay : float
        Least time between the starts of two requests to one host, seconds.
    timeout : float
        Time for one response, seconds.
    attempts : int
        Requests for an address that fails for a reason that may pass.
    refusals : int
        Failures of a host in a row after which it gets no more requests in a run.
    images : int
        Images in the collection; 0 for no limit.
    requests : int
        Requests of one run; 0 for no limit.
    megabytes : float
        Bytes of the responses of one run, in millions; 0 for no limit.
    image_megabytes : float
        Size of one image, in millions of bytes.
    page_megabytes : float
        Size of one page, in millions of bytes.
    image_megapixels : float
        Size of one image, in millions of pixels.
    refresh_days : float or None
        Age after which known addresses are asked for changes; None for never.
    """

    delay: float = 1.0
    timeout: float = 60.0
    attempts: int = 3
    refusals: int = 5
    images: int = 0
    requests: int = 0
    megabytes: float = 0.0
    image_megabytes: float = 50.0
    page_megabytes: float = 10.0
    image_megapixels: float = 170.0
    refresh_days: float | None = None


LEAST: Mapping[str, float] = {
    "delay": 0,
    "timeout": 0.1,
    "attempts": 1,
    "refusals": 1,
    "images": 0,
    "requests": 0,
    "megabytes": 0,
    "image_megabytes": 0.001,
    "page_megabytes": 0.001,
    "image_megapixels": 0.0001,
    "refresh_days": 0,
}
"""The least value of each limit."""


@dataclass(frozen=True)
class SourceRecipe:
    """The content of a collect.toml.

    Attributes
    ----------
    path : Path
        The recipe.
    folder : Path
        The folder of the collection.
    contact : str
        Whom a site can write to: a web or e-mail address. Empty in a recipe without a source.
    agent : str
        Name of the crawler in requests and in robots.txt.
    start : tuple of str
        Addresses of the first pages.
    hosts : AllowedHosts
        Hosts that may be asked.
    pages : PageSelectors or None
        How pages are read; None without ``start``.
    images : ListColumns or None
        A table of image addresses.
    limits : Limits
        How fast and how much to fetch.
    rules : LabelRules or None
        Which photo gets which label; None for no labels.
    rules_digest : str
        The SHA-256 of the rules as they are written, hex.
    """

    path: Path
    folder: Path
    contact: str
    agent: str
    start: tuple[str, ...]
    hosts: AllowedHosts
    pages: PageSelectors | None
    images: ListColumns | None
    limits: Limits
    rules: LabelRules | None
    rules_digest: str

    @property
    def agents(self) -> tuple[str, ...]:
        """The names by which a site can address the crawler, in lower case."""
        return tuple(dict.fromkeys((self.agent.lower(), "embedkit")))

    def check_source(self) -> None:
        """Raise :class:`BadRecipe` unless the recipe has all that fetching needs."""
        if not self.start and self.images is None:
            raise BadRecipe(
                f"{shown(str(self.path))}: nothing to fetch; give start (addresses of pages) or a "
                "[list] table with file (a table of image addresses)"
            )
        if not self.contact:
            raise BadRecipe(
                f"{shown(str(self.path))}: contact is missing; sites must be able to reach you: "
                "give an e-mail address or a web page, such as contact = 'me@example.org'"
            )


def read_source_recipe(path: Path) -> SourceRecipe:
    """Read a collect.toml.

    Raises :class:`BadRecipe` for a file that cannot be read or is not TOML, unknown keys, values of
    a wrong type, selectors and expressions that cannot be parsed, and contradictions.
    """
    where = shown(str(path))
    content = _Table(_read(path, where), where, "")
    contact = content.text("contact")
    if contact and not _is_contact(contact):
        raise content.error("contact", "must be an e-mail address or a web address")
    agent = content.text("agent", "embedkit")
    if not agent.replace("-", "").replace("_", "").isalnum() or not agent.isascii():
        raise content.error("agent", "must be one word of letters, digits, - and _")
    start = tuple(content.address(text) for text in content.texts("start"))
    images = _list_columns(content, path.parent)
    pages = _selectors(content)
    if start and pages is None:
        raise BadRecipe(f"{where}: start needs a [pages] table that says where the photos are")
    if pages is not None and not start:
        raise BadRecipe(f"{where}: [pages] needs start, the addresses of the first pages")
    hosts = _hosts(content, start, is_list=images is not None)
    labels = content.table("labels")
    recipe = SourceRecipe(
        path=path,
        folder=Path(absolute(path.parent / Path(content.text("folder", _default_folder(path))))),
        contact=contact,
        agent=agent,
        start=start,
        hosts=hosts,
        pages=pages,
        images=images,
        limits=_limits(content),
        rules=None if labels is None else LabelRules.from_table(labels, where),
        rules_digest=_digest(labels),
    )
    content.check_known()
    return recipe


def _digest(content: Any) -> str:
    """Return the SHA-256, hex, of a value of a TOML file."""
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _default_folder(path: Path) -> str:
    """Return the folder of a collection whose recipe names none."""
    return "collected" if path.stem == "collect" else f"{path.stem}-collected"


def _read(path: Path, where: str) -> dict[str, Any]:
    try:
        if regular_file_size(path) > MAX_BYTES:
            raise BadRecipe(f"{where}: larger than {MAX_BYTES >> 20} MB, the limit")
        return tomllib.loads(path.read_text("utf-8"))
    except RecursionError as error:
        raise BadRecipe(f"{where}: nested too deeply") from error
    except OSError as error:
        raise BadRecipe(f"{where}: {error.strerror or error}") from error
    except ValueError as error:
        raise BadRecipe(f"{where}: {error}") from error


def _is_contact(text: str) -> bool:
    """Return whether a text is an e-mail address or the address of a web page."""
    name, at, domain = text.removeprefix("mailto:").partition("@")
    is_mail = bool(name and at and "." in domain.strip("."))
    is_clean = text.isprintable() and " " not in text and "(" not in text and ")" not in text
    return is_clean and (is_mail or (text.startswith("http") and normalised(text) is not None))


class _Table:
    """A table of a recipe, whose values are checked when they are read."""

    def __init__(self, content: dict[str, Any], where: str, name: str) -> None:
        self._content = content
        self._where = where
        self._name = name
        self._known: list[str] = []

    def error(self, key: str, complaint: str) -> BadRecipe:
        """Return the error for the value of a key."""
        return BadRecipe(f"{self._where}: {self._name}{key} {complaint}")

    def has(self, key: str) -> bool:
        """Return whether the table has a value for a key."""
        self._known.append(key)
        return key in self._content

    def value(self, key: str) -> Any:
        """Return the value of a key that the table has, unchecked."""
        return self._content[key]

    def text(self, key: str, default: str = "") -> str:
        """Return a text that is not empty, or the default."""
        if not self.has(key):
            return default
        value = self._content[key]
        if not isinstance(value, str) or not value.strip() or "\0" in value:
            raise self.error(key, "must be a text that is not empty")
        return value.strip()

    def texts(self, key: str) -> list[str]:
        """Return a list of texts; none by default."""
        value = self._content[key] if self.has(key) else []
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.error(key, "must be a list of strings")
        return value

    def table(self, key: str) -> dict[str, Any] | None:
        """Return a table of the table; None without one."""
        if not self.has(key):
            return None
        value = self._content[key]
        if not isinstance(value, dict):
            raise self.error(key, "must be a table")
        return value

    def inner(self, key: str) -> "_Table | None":
        """Return a table of the table to read from; None without one."""
        content = self.table(key)
        return None if content is None else _Table(content, self._where, f"{key}.")

    def address(self, text: str) -> str:
        """Return a normalised address of a page."""
        url = normalised(text)
        if url is None:
            raise self.error("start", f"has {shown(text)[:80]!r}, not an http or https address")
        return url

    def check_known(self) -> None:
        """Raise :class:`BadRecipe` for a key that was not read."""
        for key in self._content:
            if key not in self._known:
                raise BadRecipe(
                    f"{self._where}: unknown key {shown(self._name + key)[:60]!r}; known: "
                    f"{', '.join(self._known)}"
                )


def _hosts(content: _Table, start: tuple[str, ...], *, is_list: bool) -> AllowedHosts:
    """Return the allowed hosts: those of the recipe, or those of its first pages."""
    own = dict.fromkeys(host_of(url) for url in start)
    named = content.texts("hosts")
    if not named:
        return AllowedHosts(("*",) if is_list and not own else tuple(own))
    names = []
    for text in named:
        name = allowed_name(text.strip().lower())
        if name is None:
            raise content.error(
                "hosts",
                f"has {shown(text)[:80]!r}; a host is written as 'example.org', "
                "'example.org:8080' or '*.example.org'",
            )
        names.append(name)
    hosts = AllowedHosts(tuple(dict.fromkeys(names)))
    for host in own:
        if host not in hosts:
            raise content.error("hosts", f"does not list {shown(host)!r}, the host of a start page")
    return hosts


def _selectors(content: _Table) -> PageSelectors | None:
    table = content.inner("pages")
    if table is None:
        return None
    values = {field.name: table.text(field.name) for field in fields(PageSelectors)}
    table.check_known()
    if not values["image"]:
        raise table.error("image", "is missing: the selector of the addresses of the photos")
    for name, selector in values.items():
        if selector and (problem := check_selector(selector)):
            raise table.error(name, f"is not a selector: {problem}")
    return PageSelectors(**values)


def _list_columns(content: _Table, base: Path) -> ListColumns | None:
    table = content.inner("list")
    if table is None:
        return None
    values = {
        field.name: table.text(field.name, "" if field.name == "file" else field.name)
        for field in fields(ListColumns)
    }
    table.check_known()
    if not values["file"]:
        raise table.error("file", "is missing: a CSV, Parquet or JSONL file of image addresses")
    columns = ListColumns(**values)
    return replace(columns, file=absolute(base / Path(columns.file)))


def _limits(content: _Table) -> Limits:
    table = content.inner("limits")
    if table is None:
        return Limits()
    values: dict[str, Any] = {}
    for field in fields(Limits):
        if not table.has(field.name):
            continue
        value, least = table.value(field.name), LEAST[field.name]
        whole = field.type is int
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
            raise table.error(field.name, f"must be a {'whole ' if whole else ''}number")
        if not least <= value < 1e12:
            raise table.error(field.name, f"must be {least:g} or more, and less than 1e12")
        values[field.name] = value
    table.check_known()
    return Limits(**values)
