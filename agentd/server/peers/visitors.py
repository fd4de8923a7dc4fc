"""Which pages and by which names a daemon may be reached: the rule of both of its ports.

A page of any site may open a WebSocket to the machine of whoever looks at it, and may let its own
name point there (DNS rebinding). So a request names its host, which cannot be a foreign name, and
where a page sends it its origin, which is this machine's, this host's, or one that is listed.
"""

import ipaddress
from urllib.parse import urlsplit

from agentd.config.records import WebConfig


class Visitors:
    """Compares ``Host`` and ``Origin`` of a request with what the configuration allows."""

    def __init__(self, config: WebConfig) -> None:
        self._hosts = {"localhost", *(host.lower() for host in config.hosts)}
        self._origins = {origin.lower() for origin in config.origins}

    def unknown_host(self, named: str) -> str | None:
        """Why a request for this ``Host`` is refused; None when it is not.

        An IP address is always one of this machine, as no name can be made to point to it.
        """
        host = _host_of(named)
        if host in self._hosts or _address(host) is not None:
            return None
        return f"host {named[:80]!r} is not listed in web.hosts"

    def unknown_origin(self, origin: str | None, named: str) -> str | None:
        """Why a page of ``origin`` may not ask for ``Host``; None when it may, or is no page."""
        if origin is None or origin.lower() in self._origins:
            return None
        try:
            url = urlsplit(origin.lower())
            own = url.scheme in ("http", "https") and _is_near(url.hostname or "", named)
        except ValueError:
            own = False
        return None if own else f"origin {origin[:80]!r} is not listed in web.origins"

    def refusal(self, origin: str | None, named: str) -> str | None:
        """Why a request is refused for its origin or its host; None when it is not."""
        return self.unknown_host(named) or self.unknown_origin(origin, named)


def not_the_own_page(origin: str | None, site: str | None, named: str) -> str | None:
    """Why a request that changes something is refused; None for the daemon's own page, or none.

    It is stricter than what may be read: another page of this machine is a foreign one too.
    ``site`` is ``Sec-Fetch-Site``, ``named`` is ``Host``.
    """
    if site not in (None, "same-origin"):
        return f"a page of another origin asks (Sec-Fetch-Site: {site[:20]!r})"
    if origin is not None and origin.lower().partition("://")[2] != named.lower():
        return f"origin {origin[:80]!r} is not the page of {named[:80]!r}"
    return None


def _is_near(host: str, named: str) -> bool:
    """Whether a page's host is this machine, or the one that it asks."""
    address = _address(host)
    loopback = host == "localhost" or (address is not None and address.is_loopback)
    return loopback or (host != "" and host == _host_of(named))


def _host_of(named: str) -> str:
    """The host in ``host``, ``host:port`` or ``[::1]:port``, in lower case, without brackets."""
    if named.startswith("["):
        return named[1:].partition("]")[0].lower()
    return named.partition(":")[0].lower()


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
