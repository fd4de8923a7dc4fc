"""Where a server listens, as people write it."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

DEFAULT_PORT = 7331


class Address(NamedTuple):
    """A TCP host and port, or the ``path`` of a unix socket; ``token`` when the address has one."""

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    path: str | None = None
    token: str | None = None

    @classmethod
    def parse(cls, text: str | tuple[str, int] | Address) -> Address:
        """Read an address.

        ``host``, ``host:port``, ``[::1]:port``, ``agentd://[token@]host[:port]``, a path with a
        slash in it, ``unix:path``, ``agentd+unix:///path``, or a (host, port) pair.
        Raises ValueError for anything else.
        """
        if isinstance(text, Address):
            return text
        if isinstance(text, tuple):
            return cls(host=text[0], port=text[1])
        if text.startswith("unix:"):
            return cls._of_path(text.removeprefix("unix:"), text)
        if "://" not in text:
            return cls._of_path(text, text) if "/" in text else cls._of_url(f"agentd://{text}")
        return cls._of_url(text)

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def _of_path(cls, path: str, text: str) -> Address:
        if not path:
            raise ValueError(f"address {text!r}: want the path of a socket after unix:")
        return cls(path=path)

    @classmethod
    def _of_url(cls, text: str) -> Address:
        try:
            url = urlsplit(text)
            port = url.port
        except ValueError as fault:  # a port out of range, a bracket left open
            raise ValueError(f"address {text!r}: {fault}") from None
        token = unquote(url.username) if url.username else None
        if url.scheme == "agentd+unix" and url.path and not url.netloc:
            return cls(path=url.path, token=token)
        if url.scheme != "agentd" or _has_more(url):
            raise ValueError(
                f"address {text!r}: want host:port, agentd://host:port or the path of a socket"
            )
        return cls(
            host=url.hostname or cls().host,
            port=DEFAULT_PORT if port is None else port,
            token=token,
        )


def _has_more(url: SplitResult) -> bool:
    """True when a URL says more than a host, a port and a token."""
    return bool(url.path.strip("/") or url.query or url.fragment or url.password)
