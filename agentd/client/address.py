"""Where a server listens, as people write it."""

from __future__ import annotations

import os
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from agentd.protocol.address import host_port

DEFAULT_PORT = 7331


class AddressError(ValueError):
    """A text that is no address."""


class Address(NamedTuple):
    """A TCP host and port, or the ``path`` of a unix socket; ``token`` when the address has one.

    web  the scheme of a WebSocket there, ``ws`` or with TLS ``wss``; "" for bare TCP
    """

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    path: str | None = None
    token: str | None = None
    web: str = ""

    @classmethod
    def parse(cls, text: str | tuple[str, int] | Address) -> Address:
        """Read an address.

        ``host``, ``host:port``, ``[::1]:port``, ``agentd://[token@]host[:port]``, the same with
        ``ws://`` or ``wss://``, a path with a slash in it, ``unix:path``, ``agentd+unix:///path``,
        or a (host, port) pair.
        Raises AddressError, a ValueError, for anything else.
        """
        if isinstance(text, Address):
            return text
        if isinstance(text, tuple):
            return cls(host=text[0], port=text[1])
        if text.startswith("unix:"):
            return cls._of_path(text.removeprefix("unix:"), text)
        if "://" not in text:
            return (
                cls._of_path(text, text) if "/" in text else cls._of_url(f"agentd://{text}", text)
            )
        return cls._of_url(text, text)

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        place = host_port(self.host, self.port)
        return f"{self.web}://{place}" if self.web else place

    @classmethod
    def _of_path(cls, path: str, text: str) -> Address:
        if not path:
            raise AddressError(f"address {text!r}: want the path of a socket after unix:")
        return cls(path=os.path.expanduser(path))

    @classmethod
    def _of_url(cls, full: str, text: str) -> Address:
        try:
            url = urlsplit(full)
            port = url.port
        except ValueError as fault:  # a port out of range, a bracket left open
            raise AddressError(f"address {text!r}: {_without_brackets(text) or fault}") from None
        token = unquote(url.username) if url.username else None
        if url.scheme == "agentd+unix" and url.path and not url.netloc:
            return cls(path=url.path, token=token)
        if url.scheme not in ("agentd", "ws", "wss") or _has_more(url):
            raise AddressError(
                f"address {text!r}: want host:port, agentd://host:port, ws://host:port or the path "
                "of a socket"
            )
        return cls(
            host=url.hostname or cls().host,
            port=DEFAULT_PORT if port is None else port,
            token=token,
            web=url.scheme.removeprefix("agentd"),
        )


def _without_brackets(text: str) -> str:
    """What to tell of an IPv6 address that stands alone; "" for all else."""
    host, _, port = text.removeprefix("agentd://").rpartition(":")
    if ":" not in host or "[" in text:
        return ""
    return f"an IPv6 address stands in brackets, as in [{host}]:{port}"


def _has_more(url: SplitResult) -> bool:
    """True when a URL says more than a host, a port and a token."""
    return bool(url.path.strip("/") or url.query or url.fragment or url.password)
