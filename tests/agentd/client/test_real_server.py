"""Both clients against the daemon itself, through kills and bad networks."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest

from agentd import games
from agentd.client import (
    FIRST,
    MID,
    AsyncClient,
    Client,
    DataRefused,
    OperationRefused,
    Refused,
    SessionLost,
    Tally,
    Unreachable,
    evaluate,
    join,
    play,
)
from agentd.protocol.errors import Code

ACTIONS, STREAMS, FRAMES = 7, 3, 100
CARRIERS = pytest.mark.parametrize("carrier", ["agentd", "ws"])


@pytest.fixture(scope="module")
def daemon(serve, tmp_path_factory):
    return serve(tmp_path_factory.mktemp("client") / "data", "agent.learner=none")


@pytest.fixture
def start(serve, tmp_path):
    return lambda learner: serve(tmp_path / "data", f"agent.learner={learner}")


@pytest.fixture
def admin(daemon):
    with Client.connect(daemon.address, role="admin") as client:
        yield client


def nonce(k):
    """Frame ``k``: only one action of each row is legal, so that an answer tells its row."""
    actions = (k * STREAMS + np.arange(STREAMS)) % ACTIONS
    mask = np.zeros((STREAMS, ACTIONS), np.uint8)
    mask[np.arange(STREAMS), actions] = 1
    obs = np.full((STREAMS, 2), k, np.float32)
    return (obs, 0.0, FIRST if k == 0 else MID, None, mask), actions.tolist()


def check(acts):
    assert [act.seq for act in acts] == list(range(1, FRAMES + 1))
    assert [act.actions.tolist() for act in acts] == [nonce(k)[1] for k in range(FRAMES)]


def over(carrier, address):
    host, port = address
    return f"{carrier}://{host}:{port}/"


def settings(agent, **options):
    options = {"streams": STREAMS, "wait": 20.0} | options
    return (agent, ("float32", (2,)), ACTIONS), options


def play_nonces(address, agent, ahead=4):
    positional, options = settings(agent)
    acts = []
    with Client.connect(address, *positional, **options) as client:
        for k in range(FRAMES):
            client.send(*nonce(k)[0])
            if client.pending == ahead:
                acts.append(client.receive())
        while client.pending:
            acts.append(client.receive())
        return acts, client.reconnects


async def play_nonces_async(address, agent):
    positional, options = settings(agent)
    async with await AsyncClient.connect(address, *positional, **options) as client:
        answers = [await client.send(*nonce(k)[0]) for k in range(FRAMES)]
        return [await answer for answer in answers], client.reconnects


@CARRIERS
@pytest.mark.parametrize("ahead", [1, 4])
def test_answers_belong_to_their_rows(daemon, ahead, carrier):
    acts, reconnects = play_nonces(over(carrier, daemon.address), "plain", ahead)

    check(acts)
    assert reconnects == 0


@CARRIERS
def test_cuts_at_any_byte_lose_no_frame_and_none_is_taken_twice(daemon, make_proxy, admin, carrier):
    proxy, agent = make_proxy(daemon.address, 5, cut_after=2500), f"cut-{carrier}"

    acts, reconnects = play_nonces(over(carrier, proxy.address), agent)

    check(acts)
    assert reconnects >= 2
    assert admin.stats(agent).agents[agent]["frames"] == FRAMES


@CARRIERS
async def test_nor_do_they_for_the_asyncio_client(daemon, make_proxy, carrier):
    proxy, agent = make_proxy(daemon.address, 6, cut_after=2500), f"cut-async-{carrier}"

    acts, reconnects = await play_nonces_async(over(carrier, proxy.address), agent)

    check(acts)
    assert reconnects >= 2
    async with await AsyncClient.connect(daemon.address, role="admin") as admin:
        stats = await admin.stats(agent)
    assert stats.agents[agent]["frames"] == FRAMES


@CARRIERS
def test_segments_of_one_byte_change_nothing(daemon, make_proxy, carrier):
    proxy = make_proxy(daemon.address, 7, split=True)

    acts, _ = play_nonces(over(carrier, proxy.address), "split")

    check(acts)


def test_many_clients_share_one_agent_and_no_answer_is_crossed(daemon):
    async def everyone():
        return await asyncio.gather(
            *(play_nonces_async(daemon.address, "shared") for _ in range(16))
        )

    for acts, _ in asyncio.run(everyone()):
        check(acts)


def test_greedy_answers_are_the_best_legal_action(daemon):
    positional, options = settings("greedy", role="eval", explain=True)
    rng = np.random.default_rng(1)
    with Client.connect(daemon.address, *positional, **options) as client:
        for k in range(10):
            mask = rng.integers(0, 2, (STREAMS, ACTIONS))
            mask[:, k % ACTIONS] = 1
            obs = rng.standard_normal((STREAMS, 2))
            act = client.step(obs, 0.0, FIRST if k == 0 else MID, mask=mask)
            best = np.where(mask == 1, act.q, -np.inf).argmax(axis=1)
            np.testing.assert_array_equal(act.actions, best)
            assert not act.explored.any()


def test_several_branches_and_tensors(daemon):
    observation = {"eye": ("uint8", (2, 2)), "body": ("float16", (3,))}
    with Client.connect(daemon.address, "branches", observation, (2, 5), streams=2) as client:
        rows = {"eye": np.ones((2, 2, 2), np.uint8), "body": np.zeros((2, 3))}
        act = client.step(rows, 0.0, FIRST)

    assert act.actions.shape == (2, 2)
    assert (act.actions < (2, 5)).all()


@pytest.mark.parametrize("name", sorted(games.GAMES.keys() - {"connect4-search4"}))
def test_our_games_play_and_are_evaluated(daemon, name):
    game = games.make(name, 4, seed=1)
    tally = Tally()
    with join(daemon.address, f"game-{name}", game) as client:
        for turn in play(client, game):
            tally.add(turn)
            if tally.steps >= 2000:
                break
    with join(daemon.address, f"game-{name}", game, role="eval") as client:
        found = evaluate(client, game, 6)

    share = np.arange(6) % game.streams  # a game for two has two streams
    assert tally.steps == 2000
    assert tally.episodes > 0
    assert [episode.stream for episode in found.episodes] == sorted(share)


def test_refused_data_is_told_by_name_and_the_session_goes_on(daemon):
    positional, options = settings("refused")
    with Client.connect(daemon.address, *positional, **options) as client:
        for arguments, code, field in (
            (([[np.nan, 0]], 0.0, FIRST), Code.NOT_FINITE, "obs.obs"),
            (([[0, 0]], 0.0, MID), Code.BAD_KIND, "kind"),
            (([[0, 0]], 0.0, FIRST, [9]), Code.UNKNOWN_STREAM, "stream"),
            (([[0, 0]], 0.0, FIRST, None, [[0] * ACTIONS]), Code.BAD_MASK, "mask"),
            (([[0, 0]] * 2, 0.0, FIRST, [1, 1]), Code.DUPLICATE_STREAM, "stream"),
        ):
            with pytest.raises(DataRefused) as caught:
                client.step(*arguments)
            assert (caught.value.code, caught.value.field) == (code, field)
        with pytest.raises(DataRefused, match="NOT_SUPERVISED"):
            client.teach([0, 0], 1)

        assert client.step([[0, 0]], 0.0, FIRST).actions.shape == (1,)
        assert client.reconnects == 0


def test_an_abandoned_session_leaves_its_episodes_and_begins_anew(daemon):
    positional, options = settings("abandoned")
    rows = np.zeros((STREAMS, 2), np.float32)
    with Client.connect(daemon.address, *positional, **options) as client:
        client.step(rows, 0.0, FIRST)
        with pytest.raises(DataRefused):
            client.step(rows + np.nan, 0.0, MID)
        client.abandon()
        assert client.step(rows, 0.0, FIRST).seq == 1

    async def await_it():
        async with await AsyncClient.connect(daemon.address, *positional, **options) as client:
            await client.step(rows, 0.0, FIRST)
            await client.abandon()
            return await client.step(rows, 0.0, FIRST)

    assert asyncio.run(await_it()).seq == 1


def test_a_known_agent_with_another_schema_is_refused_at_once(daemon):
    positional, options = settings("schema")
    Client.connect(daemon.address, *positional, **options).close()

    with pytest.raises(Refused) as caught:
        Client.connect(daemon.address, "schema", ("float32", (3,)), ACTIONS, wait=20.0)

    assert caught.value.code == Code.SCHEMA_MISMATCH


def test_operations(daemon, admin):
    positional, options = settings("operated")
    Client.connect(daemon.address, *positional, **options).close()

    assert "operated" in [agent["agent"] for agent in admin.agents()]
    assert admin.info("operated")["schema"]["action"] == {"kind": "discrete", "n": ACTIONS}
    assert admin.stats().server["agents"] >= 1
    assert admin.ping() > 0
    with pytest.raises(OperationRefused) as caught:
        admin.info("nobody")
    assert caught.value.code == Code.UNKNOWN_AGENT
    admin.delete("operated")
    assert "operated" not in [agent["agent"] for agent in admin.agents()]


def test_a_killed_daemon_that_comes_back_finds_its_clients_where_they_were(start):
    daemon = start("dqn")
    positional, options = settings("survivor")
    with Client.connect(daemon.address, *positional, **options) as client:
        for k in range(10):
            client.step(*nonce(k)[0])
        daemon.kill()
        timer = threading.Timer(0.2, daemon.start)
        timer.start()
        act = client.step(*nonce(10)[0])
        timer.join()
        for k in range(11, 20):
            client.step(*nonce(k)[0])

        assert (act.seq, act.actions.tolist()) == (11, nonce(10)[1])
        assert client.reconnects == 1
        with Client.connect(daemon.address, role="admin") as admin:
            assert admin.stats("survivor").agents["survivor"]["rows_kept"] == 20 * STREAMS
            saved = admin.save("survivor")
            assert admin.load("survivor", saved.checkpoint).checkpoint == saved.checkpoint
            admin.freeze("survivor", True)


def test_a_daemon_with_new_data_does_not_know_the_session(start, tmp_path):
    daemon = start("none")
    positional, options = settings("stranger")
    with Client.connect(daemon.address, *positional, **options) as client:
        client.step(*nonce(0)[0])
        daemon.kill()
        daemon.data_dir = tmp_path / "other"
        daemon.start()

        with pytest.raises(SessionLost):
            client.step(*nonce(1)[0])
        assert client.step(*nonce(0)[0]).seq == 1


def test_a_daemon_that_is_told_to_stop_is_waited_for_and_then_given_up(start):
    daemon = start("none")
    positional, options = settings("patient")
    with Client.connect(daemon.address, *positional, **options | {"retry_for": 0.5}) as client:
        client.step(*nonce(0)[0])
        daemon.kill()

        with pytest.raises(Unreachable):
            client.step(*nonce(1)[0])
    daemon.start()
