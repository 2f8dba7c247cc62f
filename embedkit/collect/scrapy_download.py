"""Transfer bytes with Scrapy: its downloader, its throttling and its TLS, and nothing else.

Redirects, retries, robots.txt and the order of requests are decided in :mod:`.crawl`, which keeps
its state on disk. Scrapy's own queue would lose it.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, ClassVar

from scrapy import Request, Spider
from scrapy import exceptions as failures
from scrapy.crawler import AsyncCrawlerProcess
from scrapy.http import Response, TextResponse
from twisted.internet.error import ConnectError, ConnectionClosed
from twisted.internet.interfaces import IHostnameResolver, IResolutionReceiver
from zope.interface import implementer

from embedkit.collect.download import Answer, Download, DownloadFailed, PrivateAddress
from embedkit.collect.hosts import host_of, is_private
from embedkit.collect.recipe import SourceRecipe
from embedkit.version import __version__

_MAX_THROTTLE = 60.0
"""Longest delay that AutoThrottle leads to, seconds."""
_DNS_SECONDS = 30.0
_CONNECTION_ERRORS = (
    failures.DownloadFailedError,
    ConnectError,
    ConnectionClosed,
    OSError,
    UnicodeError,  # a host with an invalid name
)


def user_agent(recipe: SourceRecipe) -> str:
    """Return the User-Agent header: the crawler, its version, and whom a site can write to."""
    name = "embedkit" if recipe.agent == "embedkit" else f"{recipe.agent} embedkit"
    contact = recipe.contact.removeprefix("mailto:")
    return f"{name}/{__version__} (+{contact})"


def crawl(recipe: SourceRecipe, run: Callable[[Download], Awaitable[None]]) -> None:
    """Call ``run`` with a function that requests addresses, and return when it is done.

    A process can do this once: the event loop of Twisted cannot be started again.
    """
    raised: list[BaseException] = []
    no_requests: tuple[Any, ...] = ()

    class Fetcher(Spider):
        name = "embedkit"

        async def start(self) -> AsyncIterator[Any]:
            try:
                await run(_Scrapy(self, recipe))
            except BaseException as error:
                raised.append(error)
            for request in no_requests:
                yield request

    logging.getLogger("scrapy").setLevel(logging.ERROR)
    process = AsyncCrawlerProcess(_settings(recipe), install_root_handler=False)
    _Resolver.recipe = recipe
    process.crawl(Fetcher)
    process.start()
    if raised:
        raise raised[0]


def _settings(recipe: SourceRecipe) -> dict[str, Any]:
    delay = recipe.limits.delay
    return {
        "USER_AGENT": user_agent(recipe),
        "DOWNLOAD_DELAY": delay,
        "DOWNLOAD_DELAY_JITTER": 0,
        "CONCURRENT_REQUESTS_PER_DOMAIN": 1,
        "AUTOTHROTTLE_ENABLED": True,
        "AUTOTHROTTLE_START_DELAY": delay,
        "AUTOTHROTTLE_MAX_DELAY": max(delay, _MAX_THROTTLE),
        "AUTOTHROTTLE_TARGET_CONCURRENCY": 1.0,
        "DOWNLOAD_TIMEOUT": recipe.limits.timeout,
        "DOWNLOAD_WARNSIZE": 0,
        "DOWNLOAD_FAIL_ON_DATALOSS": True,
        "DNS_TIMEOUT": _DNS_SECONDS,
        "TWISTED_DNS_RESOLVER": f"{__name__}._Resolver",
        # All of these are decided before a request and after its answer.
        "ROBOTSTXT_OBEY": False,
        "REDIRECT_ENABLED": False,
        "METAREFRESH_ENABLED": False,
        "RETRY_ENABLED": False,
        "COOKIES_ENABLED": False,
        "HTTPPROXY_ENABLED": False,  # an address behind a proxy could not be checked
        "TELNETCONSOLE_ENABLED": False,
        "LOG_ENABLED": False,
        "LOGSTATS_INTERVAL": 0,
        "MEMUSAGE_ENABLED": False,
    }


class _Scrapy:
    """Requests addresses through the downloader of a running spider."""

    def __init__(self, spider: Spider, recipe: SourceRecipe) -> None:
        self._engine: Any = spider.crawler.engine
        self._recipe = recipe

    async def __call__(self, url: str, headers: Mapping[str, str], max_bytes: int, /) -> Answer:
        host = host_of(url)
        request = Request(
            url,
            headers=dict(headers),
            meta={"download_slot": host, "download_maxsize": max_bytes},
            dont_filter=True,
        )
        try:
            response = await self._engine.download_async(request)
        except failures.CannotResolveHostError as error:
            if host in _Resolver.refused:
                raise PrivateAddress from error
            raise DownloadFailed("its host is unknown", may_pass=True) from error
        except failures.DownloadTimeoutError as error:
            reason = f"no answer within {self._recipe.limits.timeout:g} s"
            raise DownloadFailed(reason, may_pass=True) from error
        except (failures.DownloadCancelledError, failures.IgnoreRequest) as error:
            reason = f"larger than {max_bytes / 1e6:g} MB"
            raise DownloadFailed(reason, may_pass=False, of_host=False) from error
        except failures.ResponseDataLossError as error:
            raise DownloadFailed("the answer is incomplete", may_pass=True) from error
        except failures.DownloadConnectionRefusedError as error:
            raise DownloadFailed("its host refuses connections", may_pass=True) from error
        except _CONNECTION_ERRORS as error:
            reason = "the connection failed, or the answer is not HTTP"
            raise DownloadFailed(reason, may_pass=True) from error
        return self._answer(response, host)

    def _answer(self, response: Response, host: str) -> Answer:
        slot = self._engine.downloader.slots.get(host)
        names = {name.decode("latin-1").lower() for name in response.headers}
        return Answer(
            status=response.status,
            headers={
                name: [value.decode("latin-1") for value in response.headers.getlist(name)]
                for name in names
            },
            body=response.body,
            text=response.text if isinstance(response, TextResponse) else None,
            address=None if response.ip_address is None else str(response.ip_address),
            throttle=0.0 if slot is None else float(slot.delay),
        )


@implementer(IResolutionReceiver)
class _PublicAddresses:
    """Passes the public addresses of a host on."""

    def __init__(self, receiver: Any, host: str) -> None:
        self._receiver = receiver
        self._host = host

    def resolutionBegan(self, resolution: Any) -> None:  # noqa: N802
        self._receiver.resolutionBegan(resolution)

    def addressResolved(self, address: Any) -> None:  # noqa: N802
        if is_private(address.host):
            _Resolver.refused.add(self._host)
        else:
            self._receiver.addressResolved(address)

    def resolutionComplete(self) -> None:  # noqa: N802
        self._receiver.resolutionComplete()


@implementer(IHostnameResolver)
class _Resolver:
    """Resolves names, and refuses private addresses of hosts that the recipe does not name.

    A connection is made to an address that this has passed on: a name that resolves to another
    address a moment later cannot lead a request astray.
    """

    recipe: SourceRecipe
    refused: ClassVar[set[str]] = set()
    """Hosts with a private address that was refused."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._resolver = reactor.nameResolver

    @classmethod
    def from_crawler(cls, _crawler: Any, reactor: Any) -> "_Resolver":
        return cls(reactor)

    def install_on_reactor(self) -> None:
        self._reactor.installNameResolver(self)

    def resolveHostName(  # noqa: N802
        self,
        resolutionReceiver: Any,  # noqa: N803
        hostName: str,  # noqa: N803
        portNumber: int = 0,  # noqa: N803
        addressTypes: Sequence[Any] | None = None,  # noqa: N803
        transportSemantics: str = "TCP",  # noqa: N803
    ) -> Any:
        name = f"[{hostName}]" if ":" in hostName else hostName
        hosts = [f"{name}:{portNumber}", *([name] if portNumber in (80, 443) else ())]
        if not any(map(self.recipe.hosts.names_exactly, hosts)):
            resolutionReceiver = _PublicAddresses(resolutionReceiver, hosts[-1])  # noqa: N806
        return self._resolver.resolveHostName(
            resolutionReceiver, hostName, portNumber, addressTypes, transportSemantics
        )
