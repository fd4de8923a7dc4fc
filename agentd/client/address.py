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

    @classmethod
    def parse_all(cls, text: str | tuple[str, int] | Address) -> tuple[Address, ...]:
        """Read one address or several with commas between: ``agentd://[token@]a:7331,b:7331``.

        The scheme and the token of the first hold for those that name none. Sockets of this
        machine have no list. Raises AddressError.
        """
        if not isinstance(text, str) or "," not in text or _is_path(text):
            return (cls.parse(text),)
        scheme = text.partition("://")[0] if "://" in text else "agentd"
        parts = [part.strip() for part in text.split(",")]
        if not all(parts) or len({*parts}) < len(parts):
            raise AddressError(f"addresses {text!r}: want each once, with one comma between two")
        found = [cls.parse(part if "://" in part else f"{scheme}://{part}") for part in parts]
        return tuple(each._replace(token=each.token or found[0].token) for each in found)

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


def _is_path(text: str) -> bool:
    """Whether an address names a socket of this machine by its path."""
    return text.startswith(("unix:", "agentd+unix:")) or ("/" in text and "://" not in text)


def _without_brackets(text: str) -> str:
    """What to tell of an IPv6 address that stands alone; "" for all else."""
    host, _, port = text.removeprefix("agentd://").rpartition(":")
    if ":" not in host or "[" in text:
        return ""
    return f"an IPv6 address stands in brackets, as in [{host}]:{port}"


def _has_more(url: SplitResult) -> bool:
    """True when a URL says more than a host, a port and a token."""
    return bool(url.path.strip("/") or url.query or url.fragment or url.password)
