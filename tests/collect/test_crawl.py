"""The order of requests and what is done with answers, without a network."""

import asyncio
import io
import time
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from conftest import draw_photo

from embedkit.collect import answers, crawl
from embedkit.collect.crawl import Crawl
from embedkit.collect.done import Done
from embedkit.collect.download import Answer, DownloadFailed
from embedkit.collect.manifest import Manifest
from embedkit.collect.recipe import SourceRecipe, read_source_recipe
from embedkit.errors import BadRecipe

RECIPE = """
contact = "me@example.org"
start = ["http://site.test/list"]
hosts = ["site.test", "img.test"]
[pages]
item = "article"
image = "img::attr(src)"
caption = "p"
next = "a[rel=next]::attr(href)"
[limits]
delay = 0
"""


def photo(seed: int) -> bytes:
    file = io.BytesIO()
    draw_photo(seed, (64, 48)).save(file, "JPEG")
    return file.getvalue()


def article(*urls: str, caption: str = "bowl") -> str:
    pictures = "".join(f'<img src="{url}">' for url in urls)
    return f"<article>{pictures}<p>{caption}</p></article>"


class Web:
    """Answers by address, and the requests so far."""

    def __init__(self) -> None:
        self.replies: dict[str, Any] = {}
        self.requests: list[tuple[float, str, Mapping[str, str]]] = []
        self.running = 0

    def page(self, url: str, html: str, **headers: str) -> None:
        self.replies[url] = reply(html.encode(), html, **headers)

    def image(self, url: str, seed: int, **headers: str) -> None:
        self.replies[url] = reply(photo(seed), **headers)

    async def __call__(self, url: str, headers: Mapping[str, str], _max_bytes: int, /) -> Answer:
        self.requests.append((time.time(), url, headers))
        await asyncio.sleep(0)
        found = self.replies.get(url, reply(b"", status=404))
        if isinstance(found, list):
            found = found.pop(0) if len(found) > 1 else found[0]
        if isinstance(found, Exception):
            raise found
        tag = found.header("etag")
        if tag and headers.get("If-None-Match") == tag:
            return reply(b"", status=304)
        return found

    @property
    def urls(self) -> list[str]:
        return [url for _, url, _ in self.requests if not url.endswith("/robots.txt")]

    def times(self, url: str) -> list[float]:
        return [when for when, other, _ in self.requests if other == url]


def reply(body: bytes, text: str | None = None, status: int = 200, **headers: str) -> Answer:
    names = {name.replace("_", "-"): [value] for name, value in headers.items()}
    return Answer(status, names, body, text, address=None)


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Web:
    for module in (answers, crawl):
        monkeypatch.setattr(module, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr("embedkit.collect.pacing._FIRST_WAIT", 0.1)
    web = Web()
    web.page("http://site.test/list", article("/1.jpg", "http://img.test/2.jpg"))
    web.image("http://site.test/1.jpg", 1)
    web.image("http://img.test/2.jpg", 2)
    return web


class Run:
    """Runs of one recipe."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "collect.toml"
        self.write(RECIPE)
        self.warnings: list[str] = []

    def write(self, text: str) -> None:
        self.path.write_text(text, "utf-8")

    @property
    def recipe(self) -> SourceRecipe:
        return read_source_recipe(self.path)

    def __call__(self, web: Web) -> Done:
        recipe = self.recipe
        with Manifest(recipe.folder) as manifest:
            run = Crawl(recipe, manifest, web, lambda _: None, self.warnings.append)
            return asyncio.run(run.run())

    def reasons(self, state: str) -> dict[str, int]:
        with Manifest(self.recipe.folder) as manifest:
            return manifest.addresses.reasons(state)

    def entries(self) -> list[dict[str, Any]]:
        from embedkit.collect.entries import ENTRY_COLUMNS

        with Manifest(self.recipe.folder) as manifest:
            return [
                dict(zip(ENTRY_COLUMNS, row, strict=True)) for row in manifest.entries.described()
            ]

    def files(self) -> set[bytes]:
        return {path.read_bytes() for path in (self.recipe.folder / "images").glob("*/*")}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def test_all_images_of_a_page_are_stored_once_with_what_the_page_says(web: Web, run: Run) -> None:
    done = run(web)

    assert (done.pages, done.images, done.stopped, done.closed) == (1, 2, "", {})
    assert run.files() == {photo(1), photo(2)}
    assert {(item["url"], item["caption"], item["page"]) for item in run.entries()} == {
        ("http://site.test/1.jpg", "bowl", "http://site.test/list"),
        ("http://img.test/2.jpg", "bowl", "http://site.test/list"),
    }


def test_a_second_run_over_an_unchanged_site_requests_only_the_first_page(
    web: Web, run: Run
) -> None:
    web.page("http://site.test/list", article("/1.jpg"), etag='"a"')
    run(web)
    web.requests.clear()

    done = run(web)

    assert web.urls == ["http://site.test/list"]
    assert web.requests[0][2]["If-None-Match"] == '"a"'
    assert (done.unchanged, done.images) == (1, 0)


def test_new_posts_are_found_on_all_pages_that_have_any(web: Web, run: Run) -> None:
    def publish(pages: list[list[int]]) -> None:
        for number, seeds in enumerate(pages):
            link = f'<a rel="next" href="/list?page={number + 1}">more</a>'
            html = "".join(article(f"/{seed}.jpg") for seed in seeds)
            name = "/list" if number == 0 else f"/list?page={number}"
            web.page(f"http://site.test{name}", html + link * (number + 1 < len(pages)))
            for seed in seeds:
                web.image(f"http://site.test/{seed}.jpg", seed)

    publish([[1, 2], [3, 4], [5, 6], [7, 8]])
    run(web)
    web.requests.clear()
    publish([[11, 12], [13, 1], [2, 3], [4, 5]])

    done = run(web)

    pages = [url for url in web.urls if "list" in url]
    assert done.images == 3
    # The third page has nothing new: what follows it is known.
    assert pages == [f"http://site.test/list{rest}" for rest in ("", "?page=1", "?page=2")]


def test_a_path_that_robots_txt_disallows_is_not_requested(web: Web, run: Run) -> None:
    web.replies["http://site.test/robots.txt"] = reply(b"User-agent: embedkit\nDisallow: /1")

    run(web)

    assert "http://site.test/1.jpg" not in web.urls
    assert run.files() == {photo(2)}
    assert run.reasons("skipped") == {"robots.txt forbids it": 1}


def test_robots_txt_of_an_image_host_is_obeyed_too(web: Web, run: Run) -> None:
    web.replies["http://img.test/robots.txt"] = reply(b"User-agent: *\nDisallow: /")

    run(web)

    assert "http://img.test/2.jpg" not in web.urls
    assert run.files() == {photo(1)}


def test_nothing_is_requested_from_a_host_whose_robots_txt_fails(web: Web, run: Run) -> None:
    web.replies["http://img.test/robots.txt"] = reply(b"", status=500)

    done = run(web)

    assert "http://img.test/2.jpg" not in web.urls
    assert done.closed == {"img.test": "robots.txt: HTTP status 500"}
    web.replies["http://img.test/robots.txt"] = reply(b"", status=404)
    assert run(web).images == 1


def test_robots_txt_that_redirects_is_followed(web: Web, run: Run) -> None:
    web.replies["http://img.test/robots.txt"] = reply(
        b"", status=301, location="http://other.test/robots.txt"
    )
    web.replies["http://other.test/robots.txt"] = reply(b"User-agent: *\nDisallow: /")

    run(web)

    assert "http://img.test/2.jpg" not in web.urls


def test_requests_to_one_host_are_spaced_by_crawl_delay(web: Web, run: Run) -> None:
    web.replies["http://site.test/robots.txt"] = reply(b"User-agent: *\nCrawl-delay: 0.2")
    web.page("http://site.test/list", article("/1.jpg", "/3.jpg", "/4.jpg"))

    run(web)

    times = [when for when, url, _ in web.requests if "site.test" in url]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert len(gaps) == 4
    assert min(gaps) >= 0.2


def test_retry_after_is_obeyed_and_the_slower_rate_remembered(web: Web, run: Run) -> None:
    run.write(RECIPE.replace("delay = 0", "delay = 0.05"))
    web.replies["http://img.test/2.jpg"] = [
        reply(b"", status=429, retry_after="1"),
        reply(photo(2)),
    ]

    done = run(web)

    first, second = web.times("http://img.test/2.jpg")
    assert done.images == 2
    assert 1.0 <= second - first < 1.3
    with Manifest(run.recipe.folder) as manifest:
        assert manifest.hosts.get("img.test").delay == 1.0
        assert manifest.hosts.get("site.test").delay == 0


def test_a_host_that_keeps_refusing_gets_no_more_requests(web: Web, run: Run) -> None:
    run.write(RECIPE + "refusals = 3\n")
    web.replies["http://img.test/2.jpg"] = reply(b"", status=503, retry_after="0")
    web.page("http://site.test/list", article("/1.jpg", "http://img.test/2.jpg"))

    done = run(web)

    assert len(web.times("http://img.test/2.jpg")) == 3
    assert list(done.closed) == ["img.test"]
    assert run.files() == {photo(1)}


def test_a_host_that_asks_for_hours_is_left_for_a_later_run(web: Web, run: Run) -> None:
    web.replies["http://img.test/2.jpg"] = reply(b"", status=429, retry_after="86400")

    done = run(web)
    again = run(web)

    assert len(web.times("http://img.test/2.jpg")) == 1
    assert "24.0 hours" in done.closed["img.test"]
    assert "24.0 hours" in again.closed["img.test"]


@pytest.mark.parametrize(
    "value", ["noai", "max-snippet: 5, noimageai", "otherbot: nofollow, embedkit: noml"]
)
def test_an_image_whose_headers_forbid_it_is_not_stored(web: Web, run: Run, value: str) -> None:
    web.image("http://site.test/1.jpg", 1, x_robots_tag=value)

    run(web)

    assert run.files() == {photo(2)}
    [reason] = run.reasons("skipped")
    assert reason.startswith("X-Robots-Tag: no")


def test_a_directive_for_another_crawler_does_not_count(web: Web, run: Run) -> None:
    web.image("http://site.test/1.jpg", 1, x_robots_tag="otherbot: noai")

    assert run(web).images == 2


def test_images_of_a_page_with_a_noai_meta_element_are_not_requested(web: Web, run: Run) -> None:
    html = '<meta name="ROBOTS" content="noai, nofollow">' + article("/1.jpg")
    web.page("http://site.test/list", html + '<a rel="next" href="/list2">more</a>')
    web.page("http://site.test/list2", article("http://img.test/2.jpg"))

    run(web)

    assert web.urls == ["http://site.test/list"]
    assert run.entries() == []


def test_an_image_on_a_host_that_is_not_listed_is_not_requested(web: Web, run: Run) -> None:
    web.page("http://site.test/list", article("/1.jpg", "http://cdn.test/9.jpg"))
    web.image("http://cdn.test/9.jpg", 9)

    run(web)

    assert not any("cdn.test" in url for _, url, _ in web.requests)
    assert run.reasons("skipped") == {"its host is not in hosts": 1}
    run.write(RECIPE.replace('"img.test"', '"cdn.test"'))
    assert run(web).images == 1  # a later recipe lists it


@pytest.mark.parametrize("host", ["127.0.0.1", "10.0.0.8", "[::1]", "169.254.169.254"])
def test_a_redirect_to_a_private_address_is_refused(web: Web, run: Run, host: str) -> None:
    run.write(RECIPE.replace('"img.test"', '"*"'))
    web.replies["http://site.test/1.jpg"] = reply(b"", status=302, location=f"http://{host}/x")

    run(web)

    assert not any(host in url for _, url, _ in web.requests)
    assert run.reasons("skipped") == {"its host has a private address": 1}


def test_an_answer_from_a_private_address_is_not_kept(web: Web, run: Run) -> None:
    web.replies["http://img.test/2.jpg"] = Answer(200, {}, photo(2), None, address="10.1.2.3")
    run.write(RECIPE.replace('"img.test"', '"*.test"'))

    run(web)

    assert run.files() == {photo(1)}
    assert run.reasons("skipped") == {"its host has a private address": 1}


def test_a_redirected_image_is_stored_for_the_address_on_the_page(web: Web, run: Run) -> None:
    web.replies["http://site.test/1.jpg"] = reply(b"", status=301, location="http://img.test/big")
    web.image("http://img.test/big", 7)

    run(web)

    stored = {item["url"]: item["path"] for item in run.entries()}
    assert len(stored) == 2
    assert (run.recipe.folder / stored["http://site.test/1.jpg"]).read_bytes() == photo(7)
    run(web)
    assert web.urls.count("http://site.test/1.jpg") == 1


def test_a_circle_of_redirects_ends(web: Web, run: Run) -> None:
    web.replies["http://site.test/1.jpg"] = reply(b"", status=302, location="/b")
    web.replies["http://site.test/b"] = reply(b"", status=302, location="/1.jpg")

    assert run(web).images == 1
    assert web.urls.count("http://site.test/1.jpg") == 1


def test_what_is_not_an_image_is_a_failure_whatever_its_name(web: Web, run: Run) -> None:
    web.page("http://site.test/1.jpg", "<html>not found</html>")

    run(web)

    assert run.files() == {photo(2)}
    assert run.reasons("failed") == {"not an image of a known format": 1}


def test_an_image_that_fails_for_a_while_is_requested_again(web: Web, run: Run) -> None:
    web.replies["http://site.test/1.jpg"] = [
        reply(b"", status=500),
        DownloadFailed("no answer", may_pass=True),
        reply(photo(1)),
    ]

    assert run(web).images == 2


def test_an_image_that_always_fails_is_given_up_and_tried_in_the_next_run(
    web: Web, run: Run
) -> None:
    web.replies["http://site.test/1.jpg"] = reply(b"", status=500)

    assert run(web).images == 1
    assert web.urls.count("http://site.test/1.jpg") == 3
    assert run.reasons("failed") == {"HTTP status 500": 1}
    web.image("http://site.test/1.jpg", 1)
    assert run(web).images == 1


def test_an_image_that_is_gone_is_not_requested_again(web: Web, run: Run) -> None:
    del web.replies["http://site.test/1.jpg"]

    run(web)
    run(web)

    assert web.urls.count("http://site.test/1.jpg") == 1


def test_the_same_bytes_at_two_addresses_are_one_file_with_two_entries(web: Web, run: Run) -> None:
    web.image("http://img.test/2.jpg", 1)

    run(web)

    assert run.files() == {photo(1)}
    assert len(run.entries()) == 2


def test_an_interrupted_run_requests_nothing_twice_but_what_was_under_way(
    web: Web, run: Run
) -> None:
    web.page("http://site.test/list", article(*(f"/{seed}.jpg" for seed in range(1, 6))))
    for seed in range(1, 6):
        web.image(f"http://site.test/{seed}.jpg", seed)
    web.replies["http://site.test/3.jpg"] = [KeyboardInterrupt(), reply(photo(3))]
    web.replies["http://site.test/3.jpg"][0] = _Killed()

    with pytest.raises(_Killed):
        run(web)
    before = list(web.urls)
    done = run(web)

    assert before == ["http://site.test/list", *(f"http://site.test/{n}.jpg" for n in (1, 2, 3))]
    assert web.urls[len(before) :] == [f"http://site.test/{n}.jpg" for n in (3, 4, 5)]
    assert done.images == 3
    assert len(run.files()) == 5


class _Killed(Exception):
    """Stands for the end of the process."""


def test_pages_are_read_again_with_new_selectors(web: Web, run: Run) -> None:
    web.page("http://site.test/list", article("/1.jpg") + '<b><img src="/3.jpg"></b>', etag='"a"')
    web.image("http://site.test/3.jpg", 3)
    run(web)
    run.write(RECIPE.replace('item = "article"\n', ""))

    done = run(web)

    assert (done.pages, done.images) == (1, 1)


@pytest.mark.parametrize(
    ("selector", "name"), [('item = "artikel"', "item"), ('image = "img::attr(scr)"', "image")]
)
def test_a_selector_that_matches_nothing_is_an_error_after_the_first_page(
    web: Web, run: Run, selector: str, name: str
) -> None:
    line = next(line for line in RECIPE.splitlines() if line.startswith(name))
    run.write(RECIPE.replace(line, selector))

    with pytest.raises(BadRecipe, match=f"pages.{name} = .* matches nothing on http://site.test"):
        run(web)

    assert web.urls == ["http://site.test/list"]
    run.write(RECIPE)
    assert run(web).images == 2


def test_a_selector_of_a_fact_that_matches_nothing_is_a_warning_at_once(web: Web, run: Run) -> None:
    run.write(RECIPE.replace('caption = "p"', 'caption = "q"'))

    run(web)

    assert any("pages.caption = 'q' matches nothing" in text for text in run.warnings)


def test_an_empty_last_page_is_no_error_when_an_interrupted_run_continues(
    web: Web, run: Run
) -> None:
    web.page("http://site.test/list", article("/1.jpg") + '<a rel="next" href="/list2">more</a>')
    web.replies["http://site.test/list2"] = [_Killed(), reply(b"x", "<html></html>")]

    with pytest.raises(_Killed):
        run(web)

    assert run(web).stopped == ""


def test_posts_are_followed_and_known_ones_not_requested_again(web: Web, run: Run) -> None:
    run.write(RECIPE.replace('item = "article"', 'follow = "a.post"'))
    web.page("http://site.test/list", '<img src="/thumb.jpg"><a class=post href="/p/1">1</a>')
    web.page("http://site.test/p/1", article("/1.jpg", caption="a bowl at 目黒"))

    done = run(web)
    run(web)

    assert (done.pages, done.images) == (2, 1)
    assert [item["caption"] for item in run.entries()] == ["a bowl at 目黒"]
    assert web.urls.count("http://site.test/p/1") == 1
    assert "http://site.test/thumb.jpg" not in web.urls


@pytest.mark.parametrize("limit", ["requests = 4", "images = 1", "megabytes = 0.002"])
def test_a_limit_ends_a_run_and_the_next_one_continues(web: Web, run: Run, limit: str) -> None:
    web.page("http://site.test/list", article(*(f"/{seed}.jpg" for seed in range(1, 8))))
    for seed in range(1, 8):
        web.image(f"http://site.test/{seed}.jpg", seed)
    run.write(RECIPE + limit)

    first = run(web)

    assert limit.split()[0] in first.stopped
    assert 0 < first.images < 7
    run.write(RECIPE)
    assert first.images + run(web).images == 7


def test_known_images_are_asked_for_changes_after_the_refresh_age(web: Web, run: Run) -> None:
    web.page("http://site.test/list", article("/1.jpg"), etag='"a"')
    web.image("http://site.test/1.jpg", 1, etag='"b"')
    run(web)
    web.requests.clear()
    run.write(RECIPE + "refresh_days = 0")

    done = run(web)

    assert (done.unchanged, done.images) == (2, 0)
    tags = {url: headers.get("If-None-Match") for _, url, headers in web.requests}
    assert tags["http://site.test/1.jpg"] == '"b"'
    assert len(run.entries()) == 1


def test_an_image_that_is_gone_after_it_was_stored_is_kept(web: Web, run: Run) -> None:
    run.write(RECIPE + "refresh_days = 0")
    run(web)
    del web.replies["http://site.test/1.jpg"]

    run(web)

    assert len(run.entries()) == 2


def test_a_list_of_addresses_is_fetched_with_its_captions(web: Web, run: Run) -> None:
    (run.path.parent / "list.csv").write_text(
        "url,caption,tags\nhttp://img.test/2.jpg,目黒のラーメン,二郎\nnot an address,x,y\n", "utf-8"
    )
    run.write('contact = "me@example.org"\n[list]\nfile = "list.csv"\n[limits]\ndelay = 0\n')

    done = run(web)

    assert (done.images, done.pages) == (1, 0)
    assert [(item["caption"], item["tags"]) for item in run.entries()] == [
        ("目黒のラーメン", "二郎")
    ]


def test_many_forbidden_addresses_are_skipped_and_the_allowed_ones_fetched(
    web: Web, run: Run
) -> None:
    web.replies["http://site.test/robots.txt"] = reply(b"User-agent: *\nDisallow: /no/")
    urls = [f"/no/{number}.jpg" for number in range(1200)]
    web.page("http://site.test/list", article(*urls, "/1.jpg"))

    assert run(web).images == 1
    assert run.reasons("skipped") == {"robots.txt forbids it": 1200}
    assert not any("/no/" in url for url in web.urls)


def test_a_host_that_is_given_up_does_not_stop_updates_of_the_others(web: Web, run: Run) -> None:
    web.replies["http://img.test/robots.txt"] = DownloadFailed("it is dead", may_pass=True)
    run(web)
    web.page("http://site.test/list", article("/1.jpg", "/3.jpg", "http://img.test/2.jpg"))
    web.image("http://site.test/3.jpg", 3)

    done = run(web)

    assert list(done.closed) == ["img.test"]
    assert done.images == 1


def test_an_address_that_is_forbidden_is_not_asked_again_on_the_same_day(
    web: Web, run: Run
) -> None:
    web.replies["http://img.test/2.jpg"] = reply(b"", status=403)

    run(web)
    run(web)

    assert web.urls.count("http://img.test/2.jpg") == 1


def test_a_refresh_that_ends_early_keeps_all_images_and_entries(web: Web, run: Run) -> None:
    run(web)
    run.write(RECIPE + "refresh_days = 0\nrequests = 1")

    run(web)

    assert len(run.entries()) == 2


@pytest.mark.parametrize("text", ['{"error": "busy"}', "[1, 2]", "\0\0", "<" * 5000, ""])
def test_a_page_that_is_not_html_does_not_stop_the_collection(
    web: Web, run: Run, text: str
) -> None:
    link = '<a rel="next" href="/list2">more</a>'
    web.page("http://site.test/list", article("/1.jpg") + link)
    web.page("http://site.test/list2", text)

    assert run(web).images == 1
    assert run(web).stopped == ""


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_robots_txt_with_a_byte_order_mark_is_obeyed(web: Web, run: Run, encoding: str) -> None:
    rules = "User-agent: *\nDisallow: /".encode(encoding)
    web.replies["http://img.test/robots.txt"] = reply(rules)

    run(web)

    assert "http://img.test/2.jpg" not in web.urls


def test_a_crawler_with_a_name_of_its_own_obeys_the_rules_for_embedkit_too(
    web: Web, run: Run
) -> None:
    run.write(f'agent = "mybot"\n{RECIPE}')
    web.replies["http://img.test/robots.txt"] = reply(b"User-agent: embedkit\nDisallow: /")
    web.image("http://site.test/1.jpg", 1, x_robots_tag="embedkit: noai")

    assert run(web).images == 0


@pytest.mark.parametrize(
    "value",
    ["unavailable_after: Wednesday, 25-Aug-2027 15:00:00 EST, noai", "noai;noindex", "all noml"],
)
def test_directives_are_found_in_odd_headers(web: Web, run: Run, value: str) -> None:
    web.image("http://site.test/1.jpg", 1, x_robots_tag=value)

    assert run(web).images == 1


def test_an_image_with_two_captions_on_one_page_has_two_entries(web: Web, run: Run) -> None:
    html = article("/1.jpg", caption="meguro") + article("/1.jpg", caption="mita")
    web.page("http://site.test/list", html)

    run(web)
    run(web)

    assert [item["caption"] for item in run.entries()] == ["meguro", "mita"]


def test_an_image_that_redirected_to_another_host_is_fetched_when_that_is_listed(
    web: Web, run: Run
) -> None:
    web.replies["http://site.test/1.jpg"] = reply(b"", status=302, location="http://cdn.test/x")
    web.image("http://cdn.test/x", 5)
    assert run(web).images == 1
    run.write(RECIPE.replace('"img.test"', '"img.test", "cdn.test"'))

    assert run(web).images == 1
    assert len(run.entries()) == 2


@pytest.mark.parametrize(
    ("target", "reason"),
    [("/1.jpg", "it redirects in a circle"), ("/list", "it redirects to a page")],
)
def test_an_image_that_redirects_to_no_image_is_a_failure(
    web: Web, run: Run, target: str, reason: str
) -> None:
    web.replies["http://site.test/1.jpg"] = reply(b"", status=302, location=target)

    run(web)

    assert run.reasons("failed") == {reason: 1}


def test_new_selectors_replace_the_entries_of_a_page(web: Web, run: Run) -> None:
    run.write(RECIPE.replace('caption = "p"', 'caption = "article"'))
    web.page("http://site.test/list", article("/1.jpg") + "<p>other</p>")
    run(web)
    run.write(RECIPE.replace('item = "article"', 'item = "article"\npost = "img::attr(src)"'))

    run(web)

    assert [(item["post"], item["caption"]) for item in run.entries()] == [("/1.jpg", "bowl")]


def test_a_host_whose_robots_txt_asks_for_years_is_left(web: Web, run: Run) -> None:
    web.replies["http://img.test/robots.txt"] = reply(b"User-agent: *\nCrawl-delay: 1e9")

    done = run(web)

    assert "its robots.txt asks for a pause of" in done.closed["img.test"]
    assert done.images == 1


def test_a_host_is_not_left_for_more_than_a_week_whatever_it_asks(web: Web, run: Run) -> None:
    web.replies["http://img.test/2.jpg"] = reply(b"", status=429, retry_after="9" * 15)

    done = run(web)

    assert "168.0 hours" in done.closed["img.test"]


def test_a_chain_of_empty_pages_ends(web: Web, run: Run) -> None:
    web.page("http://site.test/list", article("/1.jpg") + '<a rel="next" href="/0">more</a>')
    for number in range(60):
        web.page(f"http://site.test/{number}", f'<a rel="next" href="/{number + 1}">more</a>')

    run(web)

    assert len([url for url in web.urls if "jpg" not in url]) == 21
    assert any("20 pages in a row without photos" in text for text in run.warnings)


def test_a_list_is_read_again_only_if_it_has_changed_and_bad_rows_are_counted(
    web: Web, run: Run
) -> None:
    table = run.path.parent / "list.csv"
    table.write_text("url\nhttp://img.test/2.jpg\nnothing\n")
    run.write('contact = "me@example.org"\n[list]\nfile = "list.csv"\n[limits]\ndelay = 0\n')

    run(web)
    run(web)
    assert run.warnings == [f"1 of 2 rows of {table} have no http(s) address"]
    table.write_text("url\nhttp://img.test/2.jpg\nhttp://site.test/1.jpg\n")

    assert run(web).images == 1


def test_many_posts_without_photos_do_not_end_the_list(web: Web, run: Run) -> None:
    run.write(RECIPE.replace('item = "article"', 'follow = "a.post"'))
    links = "".join(f'<a class=post href="/p/{number}">post</a>' for number in range(30))
    web.page("http://site.test/list", links + '<a rel="next" href="/list2">more</a>')
    for number in range(30):
        web.page(f"http://site.test/p/{number}", "<p>only words</p>")
    web.page("http://site.test/list2", '<a class=post href="/p/x">post</a>')
    web.page("http://site.test/p/x", article("/1.jpg"))

    assert run(web).images == 1
