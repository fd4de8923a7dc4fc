"""TLS for the doors of a daemon, from the files that its configuration names."""

from __future__ import annotations

import ssl
from pathlib import Path

from agentd.config.records import TlsConfig
from agentd.errors import AgentdError, ExitCode


class TlsFileError(AgentdError):
    """A certificate or key that cannot be used. Exit 78."""

    exit_code = ExitCode.CONFIG


def tls_context(config: TlsConfig | None) -> ssl.SSLContext | None:
    """The context of a listener; None without TLS. Raises TlsFileError, naming the file."""
    if config is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    for key, name in (("cert", config.cert), ("key", config.key), ("client_ca", config.client_ca)):
        if name is not None:
            _require_pem(f"tls.{key}", name)
    try:
        context.load_cert_chain(config.cert, config.key)
    except (OSError, ValueError) as error:
        raise TlsFileError(f"tls.cert {config.cert} and tls.key {config.key}: {error}") from error
    if config.client_ca is not None:
        try:
            context.load_verify_locations(config.client_ca)
        except (OSError, ValueError) as error:
            raise TlsFileError(f"tls.client_ca {config.client_ca}: {error}") from error
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _require_pem(key: str, name: str) -> None:
    try:
        path = Path(name)
        if path.exists() and not path.is_file():  # a pipe might never end
            raise TlsFileError(f"{key} {name}: expected a PEM file, got no regular file")
        found = b"-----BEGIN " in path.read_bytes()
    except OSError as error:
        raise TlsFileError(f"{key} {name}: {error.strerror}") from error
    if not found:
        raise TlsFileError(f"{key} {name}: expected a PEM file, it has no BEGIN line")
