"""How an address is written, wherever one is told: what is printed can be typed again."""


def host_port(host: str, port: int) -> str:
    """Return ``host:port``; an IPv6 address stands in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def address_of(name: object) -> str:
    """Return a socket's own name or its peer's, as the socket module tells it, as an address."""
    if isinstance(name, tuple):
        return host_port(str(name[0]), int(name[1]))
    path = name.decode(errors="replace") if isinstance(name, bytes) else str(name or "")
    return path if "/" in path or not path else f"unix:{path}"
