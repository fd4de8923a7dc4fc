"""Both clients through a proxy that splits, delays and cuts: no frame lost, none taken twice."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from agentd.client import AsyncClient, Client

FRAMES = 120
ROWS = 3


def frame(k):
    """Frame ``k`` carries a number that no other frame carries."""
    return np.array([[k * ROWS + row, 0] for row in range(ROWS)], np.float32)


def check(peer, acts):
    """Every frame was taken once, in order, and every answer is the answer to its frame."""
    (session,) = (session for session in peer.sessions.values() if session.taken)
    taken = [np.frombuffer(x.obs["obs"], np.float32).reshape(-1, 2) for x in session.taken]
    assert [x.seq for x in session.taken] == list(range(1, FRAMES + 1))
    for k, (rows, act) in enumerate(zip(taken, acts, strict=True)):
        np.testing.assert_array_equal(rows, frame(k))
        assert act.actions.tolist() == [(k * ROWS + row) % 7 for row in range(ROWS)]
        assert act.seq == k + 1


def play(address, ahead, **options):
    """Step through every frame with up to ``ahead`` of them on their way."""
    acts = []
    with Client.connect(
        address, "pong", ("float32", (2,)), 7, streams=ROWS, wait=20.0, **options
    ) as client:
        for k in range(FRAMES):
            client.send(frame(k), 0.0, 1)
            if client.pending == ahead:
                acts.append(client.receive())
        while client.pending:
            acts.append(client.receive())
        return acts, client.reconnects


async def play_async(address, **options):
    async with await AsyncClient.connect(
        address, "pong", ("float32", (2,)), 7, streams=ROWS, wait=20.0, **options
    ) as client:
        answers = [await client.send(frame(k), 0.0, 1) for k in range(FRAMES)]
        return [await answer for answer in answers], client.reconnects


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("ahead", [1, 4])
def test_blocking_client_survives_cuts_at_any_byte(peer, make_proxy, seed, ahead):
    proxy = make_proxy(peer.address, seed, cut_after=2000)

    acts, reconnects = play(proxy.address, ahead)

    check(peer, acts)
    assert reconnects >= 2


@pytest.mark.parametrize("seed", range(4))
async def test_asyncio_client_survives_cuts_at_any_byte(peer, make_proxy, seed):
    proxy = make_proxy(peer.address, seed, cut_after=2000)

    acts, reconnects = await play_async(proxy.address)

    check(peer, acts)
    assert reconnects >= 2


def test_segments_of_one_byte_and_delays_change_nothing(peer, make_proxy):
    proxy = make_proxy(peer.address, 1, split=True, delay_s=0.002)

    acts, reconnects = play(proxy.address, 4)

    check(peer, acts)
    assert reconnects == 0


async def test_nor_do_they_for_the_asyncio_client(peer, make_proxy):
    proxy = make_proxy(peer.address, 2, split=True, delay_s=0.002)

    acts, reconnects = await play_async(proxy.address)

    check(peer, acts)
    assert reconnects == 0


def test_cuts_splits_and_delays_together(peer, make_proxy):
    proxy = make_proxy(peer.address, 3, cut_after=3000, split=True, delay_s=0.001)

    acts, reconnects = play(proxy.address, 3)

    check(peer, acts)
    assert reconnects >= 2


def test_eight_clients_at_once(peer, make_proxy):
    proxy = make_proxy(peer.address, 4, cut_after=4000)

    async def everyone():
        return await asyncio.gather(*(play_async(proxy.address) for _ in range(8)))

    results = asyncio.run(everyone())

    by_run = [session for session in peer.sessions.values() if session.taken]
    assert len(by_run) == 8
    for session in by_run:
        assert [x.seq for x in session.taken] == list(range(1, FRAMES + 1))
    for acts, _ in results:
        assert [act.seq for act in acts] == list(range(1, FRAMES + 1))
