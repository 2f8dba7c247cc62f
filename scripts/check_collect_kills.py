"""Kill a collection again and again, beside Scrapy and gallery-dl, and count what is repeated.

    python scripts/check_collect_kills.py [--images 300] [--kills 20] [--delay 0.05] [--seed 0]
                                          [--gallery-dl PROGRAM] [--only NAME]

A site on loopback has a list of posts on several pages, and its images on another host. Each
program collects it and is killed (SIGKILL) at random moments, then runs to its end, and once more
over the unchanged site:

- ``embedkit collect``
- a Scrapy spider with JOBDIR, which keeps the requests of a stopped spider, and FilesPipeline
- ``gallery-dl`` with a download archive, if ``--gallery-dl`` names its program

Prints for each the requests, how many of them asked for something that had been asked for before,
the greatest number of these for one kill, the images that are missing or damaged at the end, and
the images and bytes of the last run. For embedkit, also the shortest time between two requests to
one host.
"""

import argparse
import io
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # the site is that of the tests
from sites import Host, hosts

PER_PAGE = 10
SPIDER = """
import hashlib
from pathlib import Path
import scrapy

class Collector(scrapy.Spider):
    name = "collector"
    custom_settings = {
        "JOBDIR": "job", "ROBOTSTXT_OBEY": True, "DOWNLOAD_DELAY": DELAY,
        "RANDOMIZE_DOWNLOAD_DELAY": False, "CONCURRENT_REQUESTS_PER_DOMAIN": 1,
        "TELNETCONSOLE_ENABLED": False, "LOG_LEVEL": "ERROR", "FILES_STORE": "images",
        "ITEM_PIPELINES": {"scrapy.pipelines.files.FilesPipeline": 1},
    }
    start_urls = ["START"]

    def parse(self, response):
        urls = response.css("article img::attr(src)").getall()
        yield {"file_urls": [response.urljoin(url) for url in urls]}
        for link in response.css("a[rel=next]::attr(href)").getall():
            yield response.follow(link)
"""


def jpeg(seed: int) -> bytes:
    """Return a JPEG that no other seed has."""
    pixels = np.random.default_rng(seed).integers(0, 256, (90, 120, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=92)
    return file.getvalue()


def fill(site: Host, images: Host, photos: list[bytes]) -> list[str]:
    """Serve the photos; return the addresses of the pages."""
    pages = range(0, len(photos), PER_PAGE)
    for first in pages:
        articles = "".join(
            f'<article data-id="{number}"><img src="{images.url(f"/{number}.jpg")}"></article>'
            for number in range(first, min(first + PER_PAGE, len(photos)))
        )
        following = f'<a rel="next" href="/{first + PER_PAGE}">more</a>'
        site.page(f"/{first}", articles + following * (first + PER_PAGE < len(photos)))
    for number, photo in enumerate(photos):
        images.image(f"/{number}.jpg", photo)
    return [site.url(f"/{first}") for first in pages]


def prepare(
    name: str, folder: Path, pages: list[str], allowed: list[Host], delay: float, program: str
) -> tuple[list[str], str]:
    """Write what a program needs; return its command and the pattern of its images."""
    if name == "embedkit":
        names = ", ".join(f'"{host.name}"' for host in allowed)
        (folder / "collect.toml").write_text(
            f'contact = "me@example.org"\nstart = ["{pages[0]}"]\nhosts = [{names}]\n'
            '[pages]\nitem = "article"\nimage = "img::attr(src)"\npost = "::attr(data-id)"\n'
            f'next = "a[rel=next]::attr(href)"\n[limits]\ndelay = {delay}\n'
        )
        return [sys.executable, "-m", "embedkit", "collect", "collect.toml"], "collected/images/*/*"
    if name == "scrapy":
        text = SPIDER.replace("START", pages[0]).replace("DELAY", str(delay))
        (folder / "spider.py").write_text(text)
        command = [sys.executable, "-W", "ignore", "-m", "scrapy", "runspider", "spider.py"]
        return command, "images/full/*"
    return [
        *(program, "--download-archive", "archive.db", "--sleep", str(delay)),
        *("--sleep-request", str(delay), "-d", "images", *(f"g:{page}" for page in pages)),
    ], "images/**/*.*"


def run(name: str, arguments: argparse.Namespace, photos: list[bytes]) -> None:
    """Run one program with kills, and print what happened."""
    port = 80 if name == "gallery-dl" else 0  # its generic extractor loses the port of a host
    with tempfile.TemporaryDirectory() as temporary, hosts(2, port) as (site, images):
        folder = Path(temporary)
        pages = fill(site, images, photos)
        command, pattern = prepare(
            name, folder, pages, [site, images], arguments.delay, arguments.gallery_dl
        )
        chance = random.Random(arguments.seed)
        before = 0
        most = repeated = kills = 0
        known: Counter[str] = Counter()
        for kill in range(arguments.kills + 1):
            process = subprocess.Popen(
                command,
                cwd=folder,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            aim = len(images.hits) + chance.randint(1, max(1, len(photos) // arguments.kills))
            pause = chance.random() * arguments.delay
            while process.poll() is None:
                if kill < arguments.kills and len(images.hits) >= aim:
                    time.sleep(pause)
                    os.kill(process.pid, signal.SIGKILL)
                    kills += 1
                    break
                time.sleep(0.002)
            process.wait()
            time.sleep(0.5)  # for a request that is under way
            hits = [f"{host.name}{hit.path}" for host in (site, images) for hit in host.hits]
            again = sum((Counter(hits) - known).values()) - len(set(hits) - set(known))
            known, before = Counter(hits), len(hits)
            repeated, most = repeated + again, max(most, again)
        kept = [path.read_bytes() for path in folder.glob(pattern) if path.is_file()]
        start = len(images.hits)
        subprocess.run(
            command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
        )
        last = images.hits[start:]
        print(
            f"{name:10} {kills:3} kills  {before:5} requests, {repeated:5} repeated, at most "
            f"{most} for one kill; {len(set(photos) - set(kept)):3} images missing, "
            f"{len(set(kept) - set(photos)):3} damaged; unchanged site: {len(last)} images "
            f"requested, {sum(hit.bytes for hit in last)} bytes",
            flush=True,
        )
        if name == "embedkit":
            gaps = [
                later.time - earlier.time
                for host in (site, images)
                for earlier, later in pairwise(host.hits)
            ]
            print(f"{'':10} shortest time between two requests to one host: {min(gaps):.3f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--delay", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--gallery-dl", default="", metavar="PROGRAM")
    parser.add_argument("--only", choices=("embedkit", "scrapy", "gallery-dl"))
    arguments = parser.parse_args()
    photos = [jpeg(seed) for seed in range(arguments.images)]
    for name in ("embedkit", "scrapy", "gallery-dl"):
        if name == "gallery-dl" and not arguments.gallery_dl:
            continue
        if arguments.only in (None, name):
            run(name, arguments, photos)


if __name__ == "__main__":
    main()
