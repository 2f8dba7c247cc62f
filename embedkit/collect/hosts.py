"""Hosts: which ones a recipe allows, and which addresses are private."""

import ipaddress
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}
ANY = "*"
"""A host in a recipe that allows every public host."""


def normalised(url: str, base: str = "") -> str | None:
    """Return an absolute http or https URL without a fragment, quoted; None for any other text.

    The host is in lower case, without the default port of the scheme and without a user name.
    """
    from w3lib.url import safe_url_string

    try:
        parts = urlsplit(safe_url_string(urljoin(base, url.strip())))
        host, port = parts.hostname, parts.port
    except ValueError:  # such as an invalid port or IPv6 address
        return None
    if parts.scheme not in DEFAULT_PORTS or not host or parts.username is not None:
        return None
    if ":" in host:
        host = f"[{host}]"
    if port not in (None, DEFAULT_PORTS[parts.scheme]):
        host = f"{host}:{port}"
    return parts._replace(netloc=host, path=parts.path or "/", fragment="").geturl()


def origin_of(url: str) -> str:
    """Return the origin of a normalised URL, such as ``https://example.org:8443``."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}"


def host_of(url: str) -> str:
    """Return the host of a normalised URL, with its port unless it is the scheme's default one.

    It is what requests are spaced by: http and https of one host count as one.
    """
    return url.partition("://")[2].partition("/")[0]


@dataclass(frozen=True)
class AllowedHosts:
    """The hosts that a recipe allows.

    A host without a port is allowed at the default ports only. ``*.example.org`` allows every
    subdomain, ``*`` every host with a public address.
    """

    names: tuple[str, ...]

    def __contains__(self, host: str) -> bool:
        """Return whether a host, as :func:`host_of` gives it, is allowed."""
        return (
            ANY in self.names
            or host in self.names
            or any(name[1:] and host.endswith(name[1:]) for name in self.names if name[0] == "*")
        )

    def names_exactly(self, host: str) -> bool:
        """Return whether the recipe names this host itself: it may have a private address."""
        return host in self.names


def is_private(address: str) -> bool:
    """Return whether an IP address is not one of the public internet.

    Private are loopback, local, link-local, multicast, reserved and unspecified addresses, and IPv6
    addresses that contain such an IPv4 address.
    """
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return True
    if isinstance(parsed, ipaddress.IPv6Address):
        inner = parsed.ipv4_mapped or parsed.sixtofour or _translated(parsed)
        if inner is not None:
            parsed = inner
    return not parsed.is_global or parsed.is_multicast


def literal_address(host: str) -> str | None:
    """Return the IP address of a host, as :func:`host_of` gives it, that is one; else None."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return None


def allowed_name(text: str) -> str | None:
    """Return a host of a recipe in the form of :func:`host_of`, with ``*.`` kept; None if invalid.

    ``example.org``, ``example.org:8080``, ``*.example.org`` and ``*`` are valid.
    """
    if text == ANY:
        return ANY
    name = text.removeprefix("*.")
    host = host_of(normalised(f"http://{name}/") or "")
    if not host or "*" in host or "/" in name or "@" in name or "?" in name or "#" in name:
        return None
    return text[: len(text) - len(name)] + host


_TRANSLATION = ipaddress.IPv6Network("64:ff9b::/96")
"""IPv6 addresses of NAT64 (RFC 6052), which end with an IPv4 address."""


def _translated(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address in _TRANSLATION:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None
