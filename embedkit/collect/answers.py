"""What is done with the answer to a request: keep an image, read a page, or try again later."""

import time
from collections.abc import Callable

from embedkit._internal.paths import shown
from embedkit._internal.text import one_line
from embedkit.collect.addresses import Address
from embedkit.collect.directives import Directives
from embedkit.collect.done import Done
from embedkit.collect.download import Answer
from embedkit.collect.hosts import host_of, normalised
from embedkit.collect.images import keep
from embedkit.collect.manifest import Manifest
from embedkit.collect.pacing import REFUSALS, Pacing, retry_after
from embedkit.collect.pages import Page, read_page
from embedkit.collect.recipe import FACTS, PageSelectors, SourceRecipe
from embedkit.collect.states import FAILED, FETCHED, IMAGE, LIST, POST, SKIPPED, STORED
from embedkit.errors import BadRecipe, UnreadableImage

MAX_HOPS = 10
"""Redirects of a page or image that are followed."""
MAX_EMPTY = 20
"""Pages of the list in a row without photos or posts after which no further ones are read."""
REDIRECTS = (301, 302, 303, 307, 308)
FIRST_PAUSE = 10.0
"""Seconds before an address that failed is requested again; they double with each attempt."""
_GONE = (404, 410)
_MAY_PASS = (408, 425, 500, 502, 504)


class Answers:
    """Handles the answers of one run.

    Parameters
    ----------
    recipe : SourceRecipe
        How pages are read, and what may be kept.
    manifest : Manifest
        Where the outcome is recorded.
    pacing : Pacing
        Is told of refusals, failures and successes.
    done : Done
        Counts what was done.
    found : callable
        Gets each host that an answer named.
    warn : callable
        Gets a warning as soon as its cause is known.
    """

    def __init__(
        self,
        recipe: SourceRecipe,
        manifest: Manifest,
        pacing: Pacing,
        done: Done,
        found: Callable[[str], None],
        warn: Callable[[str], None],
    ) -> None:
        self._recipe = recipe
        self._manifest = manifest
        self._pacing = pacing
        self.done = done
        self._found = found
        self._warn = warn
        self._checked: set[str] = set()
        self._empty = 0
        self.run_started = 0.0
        """Time at which the run began: a page is requested once in a run."""

    def handle(self, address: Address, answer: Answer) -> None:
        status, pacing = answer.status, self._pacing
        if status in REFUSALS:
            now = time.time()
            wait = retry_after(answer.header("retry-after"), now)
            until = pacing.refused(address.host, status, wait)
            self._manifest.addresses.postpone(address, until, status, f"HTTP status {status}")
            return
        if status in _MAY_PASS or status >= 500:
            pacing.failed(address.host, f"HTTP status {status}")
            self.fail(address, status, f"HTTP status {status}", may_pass=True)
            return
        if status in (401, 403):
            pacing.failed(address.host, f"HTTP status {status}")
        else:
            pacing.succeeded(address.host)
        if status in REDIRECTS:
            self._redirect(address, answer)
        elif status == 304:
            self.done.unchanged += 1
            state = STORED if address.sha256 else FETCHED
            self._manifest.addresses.finish(address, state, status=status)
        elif status == 200 and address.kind == IMAGE:
            self._keep(address, answer)
        elif status == 200:
            self._read(address, answer)
        else:
            self.fail(address, status, f"HTTP status {status}", may_pass=status not in _GONE)

    def fail(self, address: Address, status: int | None, reason: str, *, may_pass: bool) -> None:
        """Request an address again later if that may help; otherwise give it up."""
        attempts = address.attempts + 1
        is_refusal_of_address = status is not None and status < 500 and status != 408
        if may_pass and not is_refusal_of_address and attempts < self._recipe.limits.attempts:
            pause = FIRST_PAUSE * 2 ** (attempts - 1)
            self._manifest.addresses.postpone(address, time.time() + pause, status, reason)
        elif address.sha256:  # what was fetched before is kept
            self._manifest.addresses.finish(address, STORED, status=status, reason=reason)
        else:
            self._manifest.addresses.finish(
                address, FAILED, status=status, reason=reason, may_pass=may_pass
            )

    def _redirect(self, address: Address, answer: Answer) -> None:
        location = answer.header("location")
        target = normalised(location, address.url) if location else None
        if target is None:
            self.fail(address, answer.status, "a redirect to nowhere", may_pass=False)
        elif address.redirects + 1 > MAX_HOPS:
            self.fail(address, answer.status, f"more than {MAX_HOPS} redirects", may_pass=False)
        elif self._manifest.addresses.redirect(address, target, answer.status) is None:
            if address.kind != IMAGE:
                self._manifest.addresses.see_again([target], self.run_started)
            self._found(host_of(target))

    def _keep(self, address: Address, answer: Answer) -> None:
        directive = self._directives(answer).forbids_images
        if directive:
            reason = f"X-Robots-Tag: {directive}"
            self._manifest.addresses.finish(address, SKIPPED, status=200, reason=reason)
            return
        try:
            image = keep(answer.body, self._recipe.folder, self._recipe.limits.image_megapixels)
        except UnreadableImage as error:
            self.fail(address, 200, error.reason, may_pass=False)
            return
        is_new = self._manifest.addresses.store(
            address,
            image,
            status=200,
            etag=answer.header("etag"),
            last_modified=answer.header("last-modified"),
        )
        self.done.images += is_new

    def _read(self, address: Address, answer: Answer) -> None:
        selectors = self._recipe.pages
        if selectors is None or answer.text is None:
            self.fail(address, 200, "not a page of text", may_pass=False)
            return
        try:
            page = read_page(answer.text, address.url, selectors, self._recipe.agents)
        except Exception as error:  # parsers raise anything for hostile text
            self.fail(address, 200, f"it cannot be read: {one_line(error)}", may_pass=False)
            return
        self._check(address, page, selectors)
        directives = page.directives | self._directives(answer)
        manifest, directive = self._manifest, directives.forbids_images
        with manifest.transaction():
            new = 0
            if manifest.addresses.selectors(address) not in (None, selectors.digest):
                manifest.entries.forget(address.url)
            has_photos = not selectors.follow or address.kind == POST
            images = page.images if has_photos and not directive else ()
            manifest.addresses.see([image.url for image in images], IMAGE, address.id)
            new += manifest.entries.add((item.url, address.url, item.facts) for item in images)
            if address.kind == LIST and self._goes_on(page) and not directives.forbids_links:
                new += len(manifest.addresses.see(page.posts, POST, address.id))
                manifest.addresses.see(page.next, LIST, address.id)
                if new:
                    manifest.addresses.see_again(page.next, self.run_started)
            manifest.addresses.finish(
                address,
                FETCHED,
                status=200,
                reason=f"{directive}: its photos are not collected" if directive else None,
                etag=answer.header("etag"),
                last_modified=answer.header("last-modified"),
                selectors=selectors.digest,
            )
        self.done.pages += 1
        for url in (*(image.url for image in images), *page.posts, *page.next):
            self._found(host_of(url))

    def _goes_on(self, page: Page) -> bool:
        """Return whether the pages that a page of the list links to are worth a request."""
        self._empty = 0 if page.images or page.posts else self._empty + 1
        if self._empty == MAX_EMPTY:
            self.say(f"{MAX_EMPTY} pages in a row without photos: no further pages are read")
        return self._empty < MAX_EMPTY

    def _check(self, address: Address, page: Page, selectors: PageSelectors) -> None:
        """Report selectors that match nothing on the first page of a kind.

        One start page without photos is an error; of several, or of posts, one may have none.
        """
        if address.kind in self._checked or self._manifest.addresses.has_read(
            address.kind, selectors.digest
        ):
            return
        self._checked.add(address.kind)
        where, at = shown(str(self._recipe.path)), shown(address.url)

        def missing(name: str) -> str:
            return f"{where}: pages.{name} = {getattr(selectors, name)!r} matches nothing on {at}"

        needed = ""
        if address.kind == LIST and selectors.follow:
            needed = "" if page.posts else "follow"
        elif not page.images:
            needed = "image" if page.items else "item"
        if needed and address.kind == LIST and len(self._recipe.start) == 1:
            raise BadRecipe(f"{missing(needed)}; correct the selector and run the command again")
        if needed:
            self.say(missing(needed))
        if address.kind == LIST and selectors.next and not page.next:
            self.say(f"{missing('next')}: it is taken for the last page")
        for name in FACTS if page.images else ():
            if getattr(selectors, name) and not any(name in image.facts for image in page.images):
                self.say(missing(name))

    def say(self, warning: str) -> None:
        self.done.warnings.append(warning)
        self._warn(warning)

    def _directives(self, answer: Answer) -> Directives:
        return Directives.parse(answer.headers.get("x-robots-tag", ()), self._recipe.agents)
