from __future__ import annotations

import pytest

from agentd.client.address import Address


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("localhost", Address("localhost", 7331)),
        ("10.0.0.1:80", Address("10.0.0.1", 80)),
        ("[::1]:99", Address("::1", 99)),
        (("box", 5), Address("box", 5)),
        ("agentd://", Address()),
        ("agentd://box", Address("box", 7331)),
        ("agentd://box:99/", Address("box", 99)),
        ("agentd://s%40cret@box:99", Address("box", 99, token="s@cret")),
        ("ws://box:99/", Address("box", 99, web="ws")),
        ("wss://s%40cret@box", Address("box", 7331, token="s@cret", web="wss")),
        ("ws://[::1]", Address("::1", 7331, web="ws")),
        ("unix:agentd.sock", Address(path="agentd.sock")),
        ("/run/agentd.sock", Address(path="/run/agentd.sock")),
        ("./agentd.sock", Address(path="./agentd.sock")),
        ("agentd+unix:///run/a.sock", Address(path="/run/a.sock")),
        (Address("box", 1), Address("box", 1)),
    ],
)
def test_addresses_are_read_in_every_form(text, expected):
    assert Address.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "http://box:1",
        "box:70000",
        "box:port",
        "agentd://[::1",
        "agentd://box/agent",
        "agentd://box?x=1",
        "agentd://me:pass@box",
        "ws://box/game",
        "ws://box?token=x",
        "agentd+unix://box/a",
        "unix:",
    ],
)
def test_anything_else_is_refused_and_quoted(text):
    with pytest.raises(ValueError, match="address") as caught:
        Address.parse(text)
    assert repr(text) in str(caught.value) or text in str(caught.value)


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (Address("box", 1), "box:1"),
        (Address("::1", 1), "[::1]:1"),
        (Address(path="/a"), "unix:/a"),
        (Address("box", 1, token="secret", web="wss"), "wss://box:1"),
        (Address("box", 1, token="secret"), "box:1"),
    ],
)
def test_an_address_is_shown_without_its_token(address, text):
    assert str(address) == text
