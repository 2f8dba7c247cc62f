"""Collecting from real servers on loopback, in the process that users start."""

import gzip
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from conftest import draw_photo
from PIL import Image
from sites import Host, Reply, hosts

from embedkit.collect.facade import Collection

pytestmark = pytest.mark.slow

CAPTIONS = ("三田本店で並んだ", "目黒店のラーメン", "今日は晴れ")
RULES = """
[labels]
[[labels.rules]]
label = "三田本店"
keywords = ["三田本店"]
[[labels.rules]]
label = "目黒店"
keywords = ["目黒店"]
"""


def jpeg(seed: int, size: tuple[int, int] = (160, 120)) -> bytes:
    file = io.BytesIO()
    draw_photo(seed, size).save(file, "JPEG")
    return file.getvalue()


def article(number: int, url: str, caption: str = "a bowl") -> str:
    return (
        f'<article data-id="{number}"><img src="{url}"><p class="caption">{caption}</p>'
        f'<a class="tag">二郎</a></article>'
    )


def recipe(folder: Path, start: str, allowed: list[Host], *, delay: float, more: str = "") -> Path:
    names = ", ".join(f'"{host.name}"' for host in allowed)
    path = folder / "collect.toml"
    path.write_text(
        f"""
contact = "me@example.org"
start = ["{start}"]
hosts = [{names}]
[pages]
item = "article"
image = "img::attr(src)"
caption = "p.caption"
tags = "a.tag"
post = "::attr(data-id)"
next = "a[rel=next]::attr(href)"
[limits]
delay = {delay}
{more}
{RULES}
""",
        "utf-8",
    )
    return path


def test_all_that_is_allowed_is_collected_once_and_nothing_else_requested(tmp_path: Path) -> None:
    with hosts(3) as (site, images, secret):
        site.robots("User-agent: *\nDisallow: /private/\nCrawl-delay: 0.3\n")
        images.robots("User-agent: embedkit\nDisallow: /no/\n")
        bomb = io.BytesIO()
        Image.fromarray(np.zeros((4000, 4000), np.uint8)).save(bomb, "PNG")
        images.image("/a.jpg", jpeg(1))
        images.image("/same.jpg", jpeg(1))
        images.image("/slow.jpg", jpeg(2), seconds=1.0)
        images.image("/stuck.jpg", jpeg(3), seconds=30)
        images.image("/noai.jpg", jpeg(4), headers={"X-Robots-Tag": "noai"})
        images.image("/no/x.jpg", jpeg(5))
        images.image("/huge.jpg", b"\xff\xd8" + bytes(3_000_000))
        images.image("/bomb.png", bomb.getvalue())
        images.image("/cut.jpg", jpeg(6), cut=True)
        images.page("/page.jpg", "<html>this is no image</html>")
        images.routes["/moved.jpg"] = Reply(status=301, headers={"Location": "/b.jpg"})
        images.image("/b.jpg", jpeg(7), headers={"Content-Type": "text/plain"})
        inner = {"Location": secret.url("/metadata")}
        images.routes["/inner.jpg"] = Reply(status=302, headers=inner)
        other = {"Location": f"http://localhost:{secret.port}/metadata"}
        images.routes["/name.jpg"] = Reply(status=302, headers=other)
        answers = [Reply(status=429, headers={"Retry-After": "2"}), Reply(jpeg(8))]
        images.routes["/busy.jpg"] = lambda *_: answers.pop(0) if len(answers) > 1 else answers[0]
        names = [
            *("a", "same", "slow", "stuck", "noai", "no/x", "huge", "cut", "page", "moved"),
            *("inner", "name", "busy", "missing"),
        ]
        paths = [images.url(f"/{name}.jpg") for name in names] + [images.url("/bomb.png")]
        articles = [
            article(number, path, CAPTIONS[number % 3]) for number, path in enumerate(paths)
        ]
        private = article(99, site.url("/private/1.jpg"))
        site.page(
            "/list", "".join(articles[:8]) + private + '<a rel="next" href="/list/2">more</a>'
        )
        site.page("/list/2", "".join(articles[8:]) + '<a rel="next" href="/private/3">more</a>')
        path = recipe(
            tmp_path,
            site.url("/list"),
            [site, images],
            delay=0.1,
            more="timeout = 2\nattempts = 2\nrefusals = 20\nimage_megabytes = 1\n"
            "image_megapixels = 10\n",
        )

        report = Collection(path).fetch()

        kept = {file.read_bytes() for file in (tmp_path / "collected/images").glob("*/*.jpg")}
        assert kept == {jpeg(seed) for seed in (1, 2, 7, 8)}
        assert report.images == 4
        assert not any("/private" in item for item in site.paths())
        assert not any(item.startswith("/no/") for item in images.paths())
        assert secret.hits == []
        requests = Counter(images.paths())
        assert {name: count for name, count in requests.items() if count > 1} == {
            "/stuck.jpg": 2,
            "/cut.jpg": 2,
            "/busy.jpg": 2,
        }
        for host, least in ((site, 0.3), (images, 0.1)):
            times = [hit.time for hit in host.hits]
            assert min(later - earlier for earlier, later in pairwise(times)) >= least
        refused = [number for number, hit in enumerate(images.hits) if hit.status == 429]
        assert len(refused) == 1
        waited = images.hits[refused[0] + 1].time - images.hits[refused[0]].time
        assert waited >= 2.0
        assert report.skipped["robots.txt forbids it"] == 3
        assert report.skipped["X-Robots-Tag: noai"] == 1
        assert report.failed["larger than 1 MB"] == 1
        assert report.failed["HTTP status 404"] == 1
        assert report.labels == {"三田本店": 3, "目黒店": 1}
        agents = {hit.headers["user-agent"] for hit in (*site.hits, *images.hits)}
        assert len(agents) == 1
        assert "(+me@example.org)" in agents.pop()


def test_a_killed_collection_loses_nothing_and_repeats_only_what_was_under_way(
    tmp_path: Path,
) -> None:
    with hosts(2) as (site, images):
        for page in range(6):
            articles = [
                article(number, images.url(f"/{number}.jpg"))
                for number in range(page * 5, page * 5 + 5)
            ]
            link = f'<a rel="next" href="/list/{page + 1}">more</a>' if page < 5 else ""
            site.page(f"/list/{page}", "".join(articles) + link)
        for number in range(30):
            images.image(f"/{number}.jpg", jpeg(number))
        path = recipe(tmp_path, site.url("/list/0"), [site, images], delay=0.03)
        command = [sys.executable, "-m", "embedkit", "collect", str(path), "--json"]
        random.seed(1)
        kills = 0
        while True:
            began = len(images.hits)
            process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
            aim = began + random.randint(1, 8)
            while process.poll() is None and len(images.hits) < aim:
                time.sleep(0.005)
            if process.poll() is None:
                os.kill(process.pid, signal.SIGKILL)
                kills += 1
                time.sleep(0.3)  # the process that fetches ends with it
                process.wait()
                process.stdout.close()
                continue
            report = json.loads(process.stdout.read())
            process.stdout.close()
            break

        kept = {file.read_bytes() for file in (tmp_path / "collected/images").glob("*/*.jpg")}
        requests = [hit.path for host in (site, images) for hit in host.hits]
        assert kills >= 3
        assert kept == {jpeg(number) for number in range(30)}
        assert report["images"] == 30
        assert report["waiting"] == 0
        # At most one request to each host is under way.
        assert len(requests) - len(set(requests)) <= 2 * kills + 1  # both have a robots.txt
        before = len(images.hits)
        subprocess.run(command, check=True, capture_output=True)
        assert images.hits[before:] == []


def test_names_and_addresses_of_this_machine_are_refused_unless_named(tmp_path: Path) -> None:
    with hosts(1) as [inner]:
        inner.image("/1.jpg", jpeg(1))
        addresses = ("localhost", "127.0.0.1", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]")
        rows = "\n".join(f"http://{address}:{inner.port}/1.jpg" for address in addresses)
        (tmp_path / "list.csv").write_text(f"url\n{rows}\n")
        path = tmp_path / "collect.toml"
        text = 'contact = "me@example.org"\n{}[list]\nfile = "list.csv"\n[limits]\ndelay = 0\n'
        path.write_text(text.format(""))

        report = Collection(path).fetch()

        assert inner.hits == []
        assert report.skipped == {"its host has a private address": 5}
        path.write_text(text.format(f'hosts = ["localhost:{inner.port}"]\n'))
        assert Collection(path).fetch().images == 1
        assert [hit.headers["host"] for hit in inner.hits] == [f"localhost:{inner.port}"] * 2


def test_modules_in_the_current_folder_are_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scrapy.py").write_text("open('PWNED', 'w')\nraise SystemExit")
    with hosts(1) as [site]:
        site.image("/1.jpg", jpeg(1))
        site.page("/", article(1, "/1.jpg"))
        path = recipe(tmp_path, site.url("/"), [site], delay=0)

        assert Collection(path).fetch().images == 1

    assert not (tmp_path / "PWNED").exists()


def test_a_page_that_unpacks_to_more_than_the_limit_is_a_failure(tmp_path: Path) -> None:
    with hosts(1) as [site]:
        packed = gzip.compress(bytes(300_000_000))
        headers = {"Content-Encoding": "gzip", "Content-Type": "text/html"}
        site.routes["/"] = Reply(packed, headers=headers)
        path = recipe(tmp_path, site.url("/"), [site], delay=0)

        report = Collection(path).fetch()

        assert report.failed == {"larger than 10 MB": 1}
