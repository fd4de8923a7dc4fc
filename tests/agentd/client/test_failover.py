"""Clients that know several servers: one is lost, and the next one plays on."""

from __future__ import annotations

import random

import numpy as np
import pytest

from agentd.client import AsyncClient, Client, SessionLost, Unreachable
from agentd.client.address import Address
from agentd.client.failover import Failover
from agentd.protocol.errors import Code, ProtocolError

A, B, C = (Address(name, 1) for name in "abc")
GAME = ("x", ("float32", (2,)), 4)


@pytest.fixture
def pair(make_peer):
    return make_peer(), make_peer()


def list_of(*peers):
    return ",".join(f"127.0.0.1:{peer.address[1]}" for peer in peers)


def play(client, value, kind=1):
    return client.step(np.array([value, 0], np.float32), 0.0, kind)


def home_and_other(pair):
    one, other = pair
    return (one, other) if one.sessions else (other, one)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a:1", [A]),
        ("a:1, b:1,c:1", [A, B, C]),
        ("agentd://a:1,b", [A, Address("b", 7331)]),
        ("agentd://s@a:1,b:1", [Address("a", 1, token="s"), Address("b", 1, token="s")]),
        ("ws://a:1,b:1", [Address("a", 1, web="ws"), Address("b", 1, web="ws")]),
        ("[::1]:1,a:1", [Address("::1", 1), A]),
        ("/run/a,b.sock", [Address(path="/run/a,b.sock")]),
    ],
)
def test_lists_of_addresses_are_read(text, expected):
    assert Address.parse_all(text) == tuple(expected)


@pytest.mark.parametrize("text", ["a:1,", ",a:1", "a:1,a:1", "a:1,http://b:1", "a:1,b:port"])
def test_lists_that_are_none_are_refused(text):
    with pytest.raises(ValueError, match="address"):
        Address.parse_all(text)


def test_the_one_that_holds_the_session_is_tried_first_then_each_other():
    now = 0.0
    order = Failover([A, B, C], 5.0, random.Random(1), lambda: now)
    home = order.address
    order.welcomed()

    assert [order.broke(), order.address] == [True, home]
    now = 4.0
    assert [order.broke(), order.address] == [True, home]
    now = 5.0
    waits = [(order.broke(), order.address) for _ in range(6)]
    assert [wait for wait, _ in waits] == [False, False, True] * 2
    assert {place for _, place in waits[:3]} == {A, B, C}


def test_clients_spread_over_the_servers():
    begins = {Failover([A, B, C], 1, random.Random(seed), float).address for seed in range(20)}
    assert begins == {A, B, C}


def test_a_server_that_is_not_there_is_passed_over_at_once(pair):
    one, other = pair
    addresses = list_of(one, other)
    one.stop()

    with Client.connect(addresses, *GAME, wait=0.0) as client:
        assert play(client, 3).actions.tolist() == [3]


def test_a_session_is_resumed_where_it_was(pair):
    with Client.connect(list_of(*pair), *GAME) as client:
        play(client, 1)
        home, other = home_and_other(pair)
        home.cut()

        assert play(client, 2).actions.tolist() == [2]
        assert not other.hellos


def test_the_loss_of_a_server_is_told_once_and_another_plays_on(pair):
    with Client.connect(list_of(*pair), *GAME, resume_for=0.1) as client:
        play(client, 1)
        home, other = home_and_other(pair)
        home.stop()

        with pytest.raises(SessionLost):
            play(client, 2)
        assert play(client, 3, kind=0).actions.tolist() == [3]
        assert other.only.taken[0].seq == 1
        assert other.hellos[0].resume in home.sessions


def test_when_nobody_answers_all_are_named(pair):
    addresses = list_of(*pair)
    for peer in pair:
        peer.stop()
    with pytest.raises(Unreachable) as caught:
        Client.connect(addresses, *GAME)
    assert all(address in str(caught.value) for address in addresses.split(","))


def test_a_server_that_is_full_sends_its_games_to_the_next(pair):
    for peer in pair:
        full = ProtocolError(Code.LIMIT, "full", retry_ms=60_000)
        peer.refuse_hello = [full] if peer is pair[0] else []
    for seed in range(2):
        with Client.connect(list_of(*pair), *GAME, run=bytes([seed]) * 16) as client:
            play(client, 1)
    assert [bool(peer.sessions) for peer in pair] == [False, True]


async def test_the_awaited_client_goes_on_elsewhere_too(pair):
    client = await AsyncClient.connect(list_of(*pair), *GAME, resume_for=0.1)
    async with client:
        await client.step([1, 0], 0.0, 0)
        home, _ = home_and_other(pair)
        home.stop()
        with pytest.raises(SessionLost):
            await client.step([2, 0], 0.0, 1)
        assert (await client.step([3, 0], 0.0, 0)).actions.tolist() == [3]
