"""Fetch what a recipe describes: the order of requests, and what is done with each answer.

Nothing here knows how bytes are transferred: ``download`` does that (:mod:`.scrapy_download`).
"""

import asyncio
import heapq
import math
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import astuple

from embedkit._internal.paths import shown
from embedkit.collect.addresses import Address
from embedkit.collect.answers import FIRST_PAUSE, REDIRECTS, Answers
from embedkit.collect.done import Done
from embedkit.collect.download import Answer, Download, DownloadFailed, PrivateAddress
from embedkit.collect.hosts import host_of, is_private, literal_address, normalised, origin_of
from embedkit.collect.lists import read_list
from embedkit.collect.manifest import Manifest
from embedkit.collect.pacing import REFUSALS, Pacing, retry_after
from embedkit.collect.permission import forbidden
from embedkit.collect.recipe import ListColumns, SourceRecipe
from embedkit.collect.robots import MAX_AGE, MAX_REDIRECTS, Rules, decoded
from embedkit.collect.states import BY_ADDRESS, BY_ROBOTS, IMAGE, LIST, SKIPPED, STORED
from embedkit.errors import BadInput
from embedkit.results import Progress

CONCURRENT = 16
"""Requests under way at a time, each to another host."""
_SKIPPED_AT_A_TIME = 500
_ROBOTS_BYTES = 10_000_000
_LIST = "list"
"""Key of the note about the table that was read last."""


def begin(recipe: SourceRecipe, manifest: Manifest, warn: Callable[[str], None]) -> int:
    """Record the addresses that a recipe names; return the number of the run.

    A new run requests the first pages again, and what failed for a reason that may pass. A run that
    was interrupted goes on with what is left.
    """
    run, continues = manifest.begin_run()
    started = manifest.started_at(run)
    manifest.addresses.see(recipe.start, LIST)
    if recipe.pages is not None:
        manifest.addresses.read_pages_again(recipe.pages.digest)
    manifest.addresses.check_again()
    if not continues:
        manifest.addresses.see_again(recipe.start, started)
        manifest.addresses.retry()
        if recipe.limits.refresh_days is not None:
            manifest.addresses.refresh(started - recipe.limits.refresh_days * 86400)
    if recipe.images is not None:
        enter_list(recipe.images, manifest, warn)
    return run


def enter_list(columns: ListColumns, manifest: Manifest, warn: Callable[[str], None]) -> None:
    """Record the addresses in a table, unless it is the one of the last time."""
    try:
        status = os.stat(columns.file)
    except OSError as error:
        raise BadInput(f"{shown(columns.file)}: {error.strerror}") from error
    identity = repr((astuple(columns), status.st_size, status.st_mtime_ns))
    if manifest.note(_LIST) == identity:
        return
    rows = usable = 0
    written: set[int] = set()
    for batch, count in read_list(columns):
        with manifest.transaction():
            manifest.addresses.see([url for url, _, _ in batch], IMAGE)
            manifest.entries.add(batch, written)
        rows, usable = rows + count, usable + len(batch)
    if usable < rows:
        warn(f"{rows - usable} of {rows} rows of {shown(columns.file)} have no http(s) address")
    manifest.set_note(_LIST, identity)


class Crawl:
    """One run over a source.

    Parameters
    ----------
    recipe : SourceRecipe
        What to fetch.
    manifest : Manifest
        Where the state is kept.
    download : Download
        How an address is requested.
    progress : callable
        Gets a :class:`Progress` after each answer.
    warn : callable
        Gets a warning as soon as its cause is known.
    """

    def __init__(
        self,
        recipe: SourceRecipe,
        manifest: Manifest,
        download: Download,
        progress: Callable[[Progress], None],
        warn: Callable[[str], None],
    ) -> None:
        self._recipe = recipe
        self._manifest = manifest
        self._download = download
        self._progress = progress
        self._pacing = Pacing(manifest, recipe.limits)
        self._rules: dict[str, tuple[Rules, float]] = {}
        """The rules of each origin, and the time of the answer."""
        self._robots_attempts: dict[str, int] = {}
        self._queue: list[tuple[float, str]] = []
        self._queued: set[str] = set()
        self._private: set[str] = set()
        self._images_before = manifest.addresses.count_images()
        self._next_report = 0.0
        self.done = Done()
        self._answers = Answers(
            recipe, manifest, self._pacing, self.done, found=self._enqueue, warn=warn
        )

    async def run(self) -> Done:
        """Fetch everything, or as much as the limits allow.

        Raises :class:`BadRecipe` for selectors that match nothing on the first page, and
        :class:`StorageError`.
        """
        run = self._begin()
        tasks: set[asyncio.Task[None]] = set()
        try:
            while True:
                wake = self._start_ready(tasks)
                if not tasks and (self.done.stopped or wake == math.inf):
                    break
                timeout = None if wake == math.inf else max(wake - time.time(), 0.0)
                if not tasks:
                    self._report(waits=timeout or 0.0)
                    await asyncio.sleep(min(timeout or 0.0, 10.0))
                    continue
                ended, tasks = await asyncio.wait(
                    tasks, timeout=timeout, return_when=asyncio.FIRST_COMPLETED
                )
                for task in ended:
                    task.result()
                self._report()
        finally:
            for task in tasks:
                task.cancel()
        self.done.closed = self._pacing.closed()
        open_hosts = self._manifest.addresses.waiting_hosts().keys() - self.done.closed.keys()
        if not open_hosts:
            self.done.stopped = ""
            self._manifest.finish_run(run)
        return self.done

    # -- order -----------------------------------------------------------------------------------

    def _begin(self) -> int:
        """Record what the recipe names, and queue all hosts; return the number of the run."""
        run = begin(self._recipe, self._manifest, self._answers.say)
        self._answers.run_started = self._manifest.started_at(run)
        for host, earliest in self._manifest.addresses.waiting_hosts().items():
            self._enqueue(host, earliest)
        return run

    def _enqueue(self, host: str, earliest: float = 0.0) -> None:
        """Queue a host, unless it is queued, busy (then it is queued when it no longer is) or
        closed."""
        ready = self._pacing.ready_at(host)
        if host not in self._queued and ready < math.inf:
            self._queued.add(host)
            heapq.heappush(self._queue, (max(earliest, ready), host))

    def _enqueue_again(self, host: str) -> None:
        """Queue a host that has been busy, if it has more addresses."""
        earliest = self._manifest.addresses.next_time(host, time.time())
        if earliest is not None:
            self._enqueue(host, earliest)

    def _start_ready(self, tasks: set["asyncio.Task[None]"]) -> float:
        """Start requests to hosts that are ready; return when the next one will be."""
        images = self._recipe.limits.images or math.inf
        while self._queue and len(tasks) < CONCURRENT and not self._is_over():
            if self._images_before + self.done.images + len(tasks) >= images:
                return math.inf  # those under way may be all that is missing
            ready, host = self._queue[0]
            if ready > time.time():
                return ready
            heapq.heappop(self._queue)
            self._queued.discard(host)
            earliest = self._manifest.addresses.next_time(host, time.time())
            if earliest is None:
                continue
            ready = max(earliest, self._pacing.ready_at(host))
            if ready > time.time():
                self._enqueue(host, earliest)
                continue
            tasks.add(asyncio.create_task(self._visit(host)))
        return math.inf if self._is_over() or not self._queue else self._queue[0][0]

    def _is_over(self) -> bool:
        """Return whether a limit of the recipe is reached."""
        limits, done = self._recipe.limits, self.done
        if not done.stopped:
            if limits.requests and done.requests >= limits.requests:
                done.stopped = f"limits.requests = {limits.requests} is reached"
            elif limits.megabytes and done.bytes >= limits.megabytes * 1e6:
                done.stopped = f"limits.megabytes = {limits.megabytes:g} is reached"
            elif limits.images and self._images_before + done.images >= limits.images:
                done.stopped = f"limits.images = {limits.images} is reached"
        return bool(done.stopped)

    def _report(self, waits: float = 0.0) -> None:
        """Report the progress, at most once a second: counting takes time."""
        if time.monotonic() < self._next_report:
            return
        self._next_report = time.monotonic() + 1.0
        counts = self._manifest.addresses.counts()
        stored = counts.get((IMAGE, STORED), 0)
        total = sum(count for (kind, _), count in counts.items() if kind == IMAGE)
        stage = "collecting images"
        if waits > 1:
            stage = f"waiting {waits:.0f} s before the next request"
        self._progress(Progress(stage, stored, total))

    # -- one request -----------------------------------------------------------------------------

    async def _visit(self, host: str) -> None:
        """Request the next address of a host, or its robots.txt first."""
        if self._is_over():
            return
        try:
            address = self._next_allowed(host)
            if address is None:
                return
            origin = origin_of(address.url)
            if self._known_rules(origin) is None:
                await self._fetch_robots(origin)
            else:
                await self._fetch(address)
        finally:
            self._enqueue_again(host)

    def _next_allowed(self, host: str) -> Address | None:
        """Return the next address of a host that may be requested, as far as its rules are known.

        Addresses before it are skipped, some at a time: other hosts have their turn in between.
        """
        addresses = self._manifest.addresses
        with self._manifest.transaction():
            for _ in range(_SKIPPED_AT_A_TIME):
                address = addresses.waiting(host, time.time())
                if address is None:
                    return None
                reason = BY_ADDRESS if host in self._private else None
                reason = reason or forbidden(self._recipe, address.url)
                rules = self._known_rules(origin_of(address.url))
                if reason is None and rules is not None and not rules.allows(address.url):
                    reason = BY_ROBOTS
                if reason is None:
                    return address
                addresses.finish(address, SKIPPED, reason=reason)
        return None

    @asynccontextmanager
    async def _turn(self, host: str) -> AsyncIterator[None]:
        """Wait until a host may get a request, which the block sends."""
        while (ready := self._pacing.ready_at(host)) > time.time():
            if host in self._pacing.closed():
                raise DownloadFailed("its host gets no more requests", may_pass=True)
            await asyncio.sleep(min(ready - time.time(), 0.5))
        self._pacing.begin(host)
        self.done.requests += 1
        try:
            yield
        finally:
            self._pacing.end(host)

    async def _fetch(self, address: Address) -> None:
        headers = {}
        if address.etag:
            headers["If-None-Match"] = address.etag
        if address.last_modified:
            headers["If-Modified-Since"] = address.last_modified
        limits = self._recipe.limits
        megabytes = limits.image_megabytes if address.kind == IMAGE else limits.page_megabytes
        try:
            async with self._turn(address.host):
                self._manifest.addresses.request(address)
                answer = await self._download(address.url, headers, int(megabytes * 1e6))
            self._pacing.throttle(address.host, answer.throttle)
            self.done.bytes += len(answer.body)
            self._check_peer(address.url, answer)
            self._answers.handle(address, answer)
        except PrivateAddress:
            self._private.add(address.host)
            self._manifest.addresses.finish(address, SKIPPED, reason=BY_ADDRESS)
        except DownloadFailed as error:
            if error.of_host:
                self._pacing.failed(address.host, str(error))
            self._answers.fail(address, None, str(error), may_pass=error.may_pass)

    def _check_peer(self, url: str, answer: Answer) -> None:
        """Raise :class:`DownloadFailed` for an answer from a private address."""
        is_named = self._recipe.hosts.names_exactly(host_of(url))
        if answer.address and is_private(answer.address) and not is_named:
            raise PrivateAddress

    # -- robots.txt ------------------------------------------------------------------------------

    def _known_rules(self, origin: str) -> Rules | None:
        """Return the rules of an origin; None if its robots.txt is unknown or too old."""
        known = self._rules.get(origin)
        if known is None and (kept := self._manifest.hosts.robots(origin)) is not None:
            known = self._set_rules(origin, *kept)
        return known[0] if known and known[1] > time.time() - MAX_AGE else None

    def _set_rules(self, origin: str, content: str, answered: float) -> tuple[Rules, float]:
        rules = Rules.parse(content, self._recipe.agents)
        self._rules[origin] = rules, answered
        self._pacing.set_crawl_delay(host_of(origin), origin, rules.delay)
        return rules, answered

    async def _fetch_robots(self, origin: str) -> None:
        """Request the robots.txt of an origin. Without an answer, nothing of it is requested."""
        host, url = host_of(origin), f"{origin}/robots.txt"
        asked: set[str] = set()
        try:
            for _ in range(MAX_REDIRECTS + 1):
                asked.add(host_of(url))
                async with self._turn(host_of(url)):
                    answer = await self._download(url, {}, _ROBOTS_BYTES)
                self._check_peer(url, answer)
                target = normalised(answer.header("location") or "", url)
                if answer.status not in REDIRECTS or target is None:
                    break
                literal = literal_address(host_of(target))
                url = target
                if literal and is_private(literal) and forbidden(self._recipe, target):
                    raise PrivateAddress
        except PrivateAddress as error:
            if host_of(url) == host:
                self._private.add(host)
            else:
                self._robots_failed(host, f"robots.txt redirects to {host_of(url)}: {error}")
            return
        except DownloadFailed as error:
            self._robots_failed(host, f"robots.txt: {error}")
            return
        finally:
            for other in asked:
                self._enqueue_again(other)
        if answer.status in REFUSALS:
            wait = retry_after(answer.header("retry-after"), time.time())
            self._pacing.refused(host, answer.status, wait)
        elif answer.status >= 500:
            self._robots_failed(host, f"robots.txt: HTTP status {answer.status}")
        else:
            self._pacing.succeeded(host)
            content = decoded(answer.body) if answer.status == 200 else ""
            self._manifest.hosts.store_robots(origin, content)
            self._set_rules(origin, content, time.time())

    def _robots_failed(self, host: str, reason: str) -> None:
        """Wait before robots.txt is requested again, or give its host up for this run."""
        attempts = self._robots_attempts.get(host, 0) + 1
        self._robots_attempts[host] = attempts
        if attempts >= self._recipe.limits.attempts:
            self._pacing.close(host, reason)
        else:
            self._pacing.wait(host, FIRST_PAUSE * 2 ** (attempts - 1))
