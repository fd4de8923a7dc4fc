"""Games of Godot RL Agents against a real daemon: played, broken off, refused."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import re
import struct
from pathlib import Path
from typing import Any

import pytest

from agentd.auth import Grant, Tokens
from agentd.protocol import messages as m
from agentd.protocol.codec import encode

_SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
DATA = Path(os.environ.get("AGENTD_DATA", _SHARED)) / "dialects"
CONTINUOUS = {"action_type": "continuous", "size": 2}
DISCRETE = {"action_type": "discrete", "size": 3}


async def test_two_agents_ten_episodes(arena, corridor) -> None:
    house = await arena()
    game = await house.game()

    assert await game.join() == {"type": "reset"}
    await game.play([corridor(), corridor()], episodes=10)

    stats = house.stats()
    assert stats["clients"] == {"godot-rl 0.7": 1}
    assert (stats["sessions"], stats["refused_frames"]) == (1, 0)
    assert 0 <= stats["success_rate"] <= 1
    assert stats["return_mean"] is not None


async def test_a_game_of_version_0_3(arena, corridor) -> None:
    house = await arena()
    game = await house.game()

    assert await game.join(newer=False) == {"type": "reset"}
    await game.play([corridor(), corridor()], episodes=2, info=False)

    assert house.stats()["clients"] == {"godot-rl 0.3": 1}
    assert house.stats()["success_rate"] is None


async def test_each_policy_is_an_agent_and_games_share_them(arena, corridor) -> None:
    """Two games at once, then a third one: three players of one policy and one of another."""
    house = await arena(godot={"prefix": "field."})
    for _ in range(2):
        games = [await house.game() for _ in range(2)]
        for game in games:
            await game.join(players=3, names=["Prey", "hunter", "Prey"])
        await asyncio.gather(*(game.play([corridor() for _ in range(3)], 3) for game in games))

        assert house.stats("field.prey")["clients"] == {"godot-rl 0.7": 2}
        assert house.stats("field.hunter")["clients"] == {"godot-rl 0.7": 2}
        for game in games:
            await game.close()
        await house.until(lambda: house.stats("field.prey")["sessions"] == 0)

    registry = house.server.registry
    assert registry.loaded["field.prey"].returns.episodes["train"] >= 2 * 2 * 6
    assert set(registry.loaded) == {"field.prey", "field.hunter"}


async def test_a_game_plays_beside_a_native_one_with_the_same_agent(arena, corridor) -> None:
    house = await arena()
    game = await house.game()
    await game.join()
    host, port = house.addresses[0].rsplit(":", 1)
    hello = m.Hello(
        protocol=(1, 2),
        client="native",
        role="train",
        run=bytes(16),
        agent="shared_policy",
        observation={"cell": {"dtype": "float32", "shape": [5]}},
        action={"kind": "discrete", "n": 2},
        streams=1,
    )
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(encode(hello))
    await house.until(lambda: house.stats()["clients"].get("native") == 1)
    await game.play([corridor(), corridor()], episodes=2)

    assert house.stats()["clients"] == {"native": 1, "godot-rl 0.7": 1}
    writer.transport.abort()


async def test_several_heads_an_image_and_a_choice(arena) -> None:
    house = await arena()
    game = await house.game()
    obs = {
        "camera_2d": {"size": [3, 2, 2], "space": "box"},
        "room": {"size": 4, "space": "discrete"},
    }

    await game.join(players=1, obs=obs, action={"b": DISCRETE, "a": DISCRETE})
    seen = [{"camera_2d": "00ff10" * 4, "room": 3}]
    heard = await game.ask({"type": "reset", "obs": seen})

    (action,) = heard["action"]
    assert list(action) == ["a", "b"]  # the fake game sorts its keys, as Godot 3 does
    assert all(type(value) is int and 0 <= value < 3 for value in action.values())
    schema = house.server.registry.loaded["shared_policy"].schema
    assert (
        schema.describe() == "camera_2d:uint8[3, 2, 2], room:float32[4] -> multi_discrete([3, 3])"
    )


async def test_a_game_that_vanishes_leaves_truncated_episodes(arena, corridor) -> None:
    house = await arena()
    game = await house.game()
    await game.join()
    seen = [corridor().obs()] * 2
    await game.ask({"type": "reset", "obs": seen})
    agent = house.server.registry.loaded["shared_policy"]
    assert agent.states.open[:2].all()

    game.vanish()
    await house.until(lambda: not agent.sessions)

    assert not agent.states.open.any()
    again = await house.game()
    await again.join()
    await again.play([corridor(), corridor()], episodes=1)


async def test_a_game_that_vanishes_before_it_says_who_plays(arena, corridor) -> None:
    house = await arena()
    game = await house.game()
    await game.hear()
    game.vanish()
    await house.until(lambda: not house.server.godot.games)


async def test_numbers_that_are_none_are_refused_and_the_game_goes_on(
    arena, corridor, caplog
) -> None:
    house = await arena()
    game = await house.game()
    await game.join()
    await game.ask({"type": "reset", "obs": [corridor().obs()] * 2})
    good = '{"cell":[0,1,0,0,0]}'

    with caplog.at_level(logging.WARNING, "agentd.godot"):
        heard = await game.ask(
            '{"type":"step","done":[false,false],"reward":[0.5,0.5],'
            f'"obs":[{good},{{"cell":[0,0,nan,0,-inf]}}]}}'
        )

    assert heard["type"] == "action"
    assert len(heard["action"]) == 2
    assert "agent 1: obs.cell[2]: expected a finite number of float32, got nan" in caplog.text
    assert house.stats()["refused_frames"] == 1
    await game.play([corridor(), corridor()], episodes=1)
    assert house.stats()["refused_frames"] == 1


async def test_another_number_of_agents_after_a_reset(arena, corridor, caplog) -> None:
    house = await arena()
    game = await house.game()
    await game.join(players=2)

    with caplog.at_level(logging.WARNING, "agentd.godot"):
        heard = await game.ask({"type": "reset", "obs": [corridor().obs()] * 3})

    assert heard == {"type": "close"}
    assert "reset.obs: want a list of 2, as many as env_info.n_agents, got a list of 3" in (
        caplog.text
    )
    await game.close()
    await house.until(lambda: house.stats()["sessions"] == 0)


@pytest.mark.skipif(not DATA.is_dir(), reason="AGENTD_DATA/dialects is not there")
@pytest.mark.parametrize("version", ["03", "07shape"])
async def test_a_recorded_game_plays_against_the_daemon(arena, version: str) -> None:
    """What the game said, but for its continuous head, which nothing here learns yet."""
    data, game_says = (DATA / f"transcript_godot3_v{version}.bin").read_bytes(), b""
    while data:
        (size,) = struct.unpack_from("<I", data, 1)
        game_says += data[5 : 5 + size] if data[:1] == b"G" else b""
        data = data[5 + size :]
    house = await arena()
    game = await house.game()
    assert [(await game.hear() or {})["type"] for _ in range(2)] == ["handshake", "env_info"]
    moments = 0
    while game_says:
        (size,) = struct.unpack_from("<I", game_says)
        body, game_says = game_says[4 : 4 + size].decode(), game_says[4 + size :]
        if '"returns"' in body:
            continue  # the answer to a call: the daemon makes none
        heard = await game.ask(re.sub(r',"turn":{[^}]*}', "", body))
        assert heard is not None
        assert heard["type"] == ("action" if moments else "reset")
        moments += 1
    assert moments == 40
    success = house.stats()["success_rate"]
    assert success == (None if version == "03" else 1.0)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", "it looks like an HTTP request"),
        (struct.pack("<I", 2**31 - 1) + b"{", "over the limit"),
        (struct.pack("<I", 0), "an empty frame"),
        (struct.pack("<I", 3) + b"abc", "want one map of JSON"),
        (struct.pack("<I", 60_000) + b"[" * 60_000, "want one map of JSON"),
        (struct.pack("<I", 14) + b'{"type":"hi!"}', "hi! where env_info must come"),
    ],
    ids=["http", "huge", "empty", "garbage", "deep", "other"],
)
async def test_garbage_ends_the_game_and_nothing_else(arena, caplog, data: bytes, why: str) -> None:
    house = await arena()
    game, other = await house.game(), await house.game()
    await other.join()

    with caplog.at_level(logging.WARNING, "agentd.godot"):
        game.writer.write(data)
        heard = [(await game.hear() or {}).get("type") for _ in range(3)]

    assert heard == ["handshake", "env_info", "close"]
    assert why in caplog.text
    assert len(caplog.records) == 1
    assert await other.ask({"type": "reset", "obs": [{"cell": [0] * 5}] * 2})


def steered(player: Any) -> Any:
    """A player that moves by the sign of the first of two numbers."""

    def act(action: dict[str, Any]) -> tuple[float, bool, dict[str, Any]]:
        first, second = action["turn"]
        assert -1 <= first <= 1
        assert -1 <= second <= 1
        assert action.get("move", 0) in range(3)
        return move({"move": int(first > 0)})

    move, player.act = player.act, act
    return player


@pytest.mark.parametrize(
    ("action", "kind"),
    [({"turn": CONTINUOUS}, "box"), ({"move": DISCRETE, "turn": CONTINUOUS}, "mixed")],
)
async def test_continuous_heads_are_played(arena, corridor, action, kind: str) -> None:
    house = await arena()
    game = await house.game()

    assert await game.join(action=action) == {"type": "reset"}
    await game.play([steered(corridor()), steered(corridor())], episodes=3)

    assert house.server.registry.loaded["shared_policy"].schema.kind == kind
    assert house.stats()["refused_frames"] == 0


async def test_too_many_continuous_numbers_are_refused_in_words(arena, caplog) -> None:
    house = await arena()
    game = await house.game()

    with caplog.at_level(logging.WARNING, "agentd.godot"):
        assert await game.join(action={"turn": CONTINUOUS | {"size": 33}}) == {"type": "close"}

    assert "agent shared_policy: BAD_HELLO" in caplog.text
    await game.close()
    await house.until(lambda: not len(house.server.connections))


async def test_a_second_game_with_other_spaces_is_refused(arena, caplog) -> None:
    house = await arena()
    first, second = await house.game(), await house.game()
    await first.join()

    with caplog.at_level(logging.WARNING, "agentd.godot"):
        heard = await second.join(action={"move": DISCRETE})

    assert heard == {"type": "close"}
    assert "SCHEMA_MISMATCH" in caplog.text


async def test_limits_hold_here_too(arena, caplog) -> None:
    house = await arena(max_connections=2, max_streams=4)
    first, second = await house.game(), await house.game()
    with caplog.at_level(logging.WARNING, "agentd.godot"):
        assert await first.join(players=5) == {"type": "close"}
        assert "streams: want 1..4, got 5" in caplog.text
        await first.close()
        await house.until(lambda: len(house.server.godot.games) == 1)
        assert await second.join(players=3, names=["a", "b", "c"]) == {"type": "close"}
    assert "LIMIT: the server is full" in caplog.text


async def test_more_players_than_rows_fit_into_a_frame(arena, corridor) -> None:
    house = await arena(max_rows=2, window=1)
    game = await house.game()
    await game.join(players=5)
    await game.play([corridor() for _ in range(5)], episodes=1)
    assert house.stats()["refused_frames"] == 0


async def test_a_message_that_is_begun_must_be_finished(arena, caplog) -> None:
    house = await arena(frame_s=1.5)
    silent, slow = await house.game(), await house.game()
    await slow.join()
    slow.writer.write(struct.pack("<I", 50) + b'{"type":')

    with caplog.at_level(logging.WARNING, "agentd.godot"):
        assert [(await silent.hear() or {})["type"] for _ in range(3)][-1] == "close"
        assert await slow.hear() == {"type": "close"}

    assert "no env_info in 1.5 s" in caplog.text
    assert "a message was begun and not finished in 1.5 s" in caplog.text


async def test_a_game_may_be_silent_for_longer_than_a_heartbeat(arena, corridor) -> None:
    house = await arena(heartbeat_s=0.2)
    game = await house.game()
    await game.join()

    await asyncio.sleep(1.2)

    await game.play([corridor(), corridor()], episodes=1)


async def test_games_are_sent_away_at_the_end(arena, corridor) -> None:
    house = await arena()
    playing, greeted = await house.game(), await house.game()
    await playing.join()
    await greeted.hear()
    await greeted.hear()

    house.server.stop()

    assert await playing.hear() == await greeted.hear() == {"type": "close"}
    for game in (playing, greeted):
        await game.close()


async def test_beside_tokens_games_come_in_without(arena, corridor) -> None:
    tokens = Tokens([(Grant.ADMIN, "a-token-of-16-chars")])
    house = await arena(godot={"open": True}, tokens=tokens)
    game = await house.game()

    await game.join()
    await game.play([corridor(), corridor()], episodes=1)

    assert len(house.server.connections) == 1


async def test_an_episode_of_a_role_that_only_plays(arena, corridor) -> None:
    house = await arena(godot={"role": "eval"})
    game = await house.game()
    await game.join()
    # the greedy agent may never arrive: the corridor cuts the episode by itself
    await game.play([corridor(), corridor()], episodes=1)
    assert house.stats()["eval_episodes"] >= 2


async def test_it_learns(arena, corridor) -> None:
    """From the wins of chance to nearly all, while the game waits for nothing."""
    house = await arena(
        agent={
            "learner": "dqn",
            "model": {"layers": [{"dense": 32}, "relu"]},
            "dqn": {"batch": 32, "n_step": 1, "target": {"every": 50}, "average": None},
            "exploration": {"start": 1.0, "end": 0.02, "steps": 600},
            "pace": {"mode": "paced", "learn_start": 200, "train_every": 16, "updates": 8},
        }
    )
    game = await house.game()
    await game.join(players=4)
    players = [corridor() for _ in range(4)]

    await game.play(players, episodes=10)
    early = house.stats()["return_mean"]
    await game.play(players, episodes=70)

    stats = house.stats()
    assert stats["success_rate"] > 0.9
    assert stats["return_mean"] > max(0.75, early + 0.2)
    assert stats["updates"] > 100
    assert not math.isnan(stats["loss"])
