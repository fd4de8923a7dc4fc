"""The dialect without sockets: recorded sessions, numbers that are none, episodes as rows."""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentd.dialects.godot.conversation import Conversation, GameMoment, Phase, Returned
from agentd.dialects.godot.episodes import Episodes, step_fields
from agentd.dialects.godot.spaces import read_spaces
from agentd.dialects.godot.text import decode_text, encode_text
from agentd.protocol.errors import Code, ProtocolError
from agentd.protocol.rows import FIRST, MID, TERMINATED, TRUNCATED

_SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
DATA = Path(os.environ.get("AGENTD_DATA", _SHARED)) / "dialects"
MOST = 2**20


def records(path: Path) -> Iterator[tuple[str, bytes]]:
    """Who spoke (P the trainer, G the game), and the bytes of one call."""
    data = path.read_bytes()
    while data:
        (size,) = struct.unpack_from("<I", data, 1)
        yield chr(data[0]), data[5 : 5 + size]
        data = data[5 + size :]


def info(players: int = 1, **changes: Any) -> dict[str, Any]:
    obs = {"obs": {"size": [2], "space": "box"}}
    action = {"move": {"size": 3, "action_type": "discrete"}}
    return {
        "type": "env_info",
        "n_agents": players,
        "observation_space": [obs] * players,
        "action_space": [action] * players,
        "agent_policy_names": ["shared_policy"] * players,
    } | changes


def moment(obs: Any, reward: Any = None, done: bool | None = None, **more: Any) -> GameMoment:
    """What one player saw."""
    seen = {"obs": obs}
    if done is None:
        return GameMoment([seen], None, None, [{}])
    return GameMoment([seen], [reward], [done], [more])


def episodes(**changes: Any) -> Episodes:
    return Episodes(read_spaces(info(**changes)).policies[0])


def floats(data: bytes) -> list[float]:
    return np.frombuffer(data, "<f4").tolist()


# -- recorded sessions -----------------------------------------------------------------------------


@pytest.mark.skipif(not DATA.is_dir(), reason="AGENTD_DATA/dialects is not there")
@pytest.mark.parametrize("version", ["03", "07shape"])
def test_a_recorded_session_plays_through_byte_for_byte(version: str) -> None:
    """Every byte of the recorded trainer comes from us, given the actions that it chose."""
    talk = Conversation(MOST)
    ours, theirs, seen = talk.begin(), b"", []
    players: list[Episodes] = []
    for who, data in records(DATA / f"transcript_godot3_v{version}.bin"):
        if who == "G":
            talk.receive(data)
            while (event := talk.next_event()) is not None:
                seen.append(event)
                if isinstance(event, GameMoment):
                    for policy in players:
                        rows = policy.rows(event)
                        assert rows.faults == []
                        for row in rows.good:
                            policy.played(row, [2, 0.5, -1.0])
                elif not isinstance(event, Returned):
                    players = [Episodes(policy) for policy in event.policies]
            continue
        theirs += data
        said = json.loads(data[4:])
        actions = dict(pair for policy in players for pair in policy.actions())
        match said["type"]:
            case "reset":
                ours += talk.reset()
            case "call":
                ours += talk.call(said["method"])
            case "action":
                ours += talk.act([actions[at] for at in sorted(actions)])
            case "close":
                ours += talk.close()
        assert ours[: len(theirs)] == theirs

    assert ours == theirs
    assert sum(isinstance(event, GameMoment) for event in seen) == 39
    assert Returned(["pong-0", "pong-0"]) in seen
    assert len(players) == (1 if version == "03" else 2)
    assert players[0].policy.action == {
        "kind": "mixed",
        "heads": [
            {"n": 3, "name": "move"},
            {"low": -1.0, "high": 1.0, "name": "turn.0"},
            {"low": -1.0, "high": 1.0, "name": "turn.1"},
        ],
    }


@pytest.mark.skipif(not DATA.is_dir(), reason="AGENTD_DATA/dialects is not there")
def test_the_recorded_game_says_the_same_in_pieces_of_one_byte() -> None:
    game = b"".join(d for who, d in records(DATA / "transcript_godot3_v03.bin") if who == "G")
    talk, moments = Conversation(MOST), 0
    for at in range(len(game)):
        talk.receive(game[at : at + 1])
        while talk.next_event() is not None:
            moments += 1
            if moments == 1:
                talk.reset()
            elif moments == 2:
                talk.call("ping")
            elif moments < 41:
                talk.act([{}, {}])
    assert moments == 41


# -- text ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("nan", math.nan),
        ("-nan", math.nan),
        ("-nan(ind)", math.nan),
        ("1.#QNAN", math.nan),
        ("NaN", math.nan),
        ("inf", math.inf),
        ("-inf", -math.inf),
        ("-1.#INF", -math.inf),
        ("1e99999", math.inf),
        ("-Infinity", -math.inf),
        ("0", 0.0),
        ("0.333333", 0.333333),
        ("123456789.125", 123456789.125),
    ],
)
def test_numbers_as_godot_writes_them(text: str, value: float) -> None:
    body = f'{{"a nan, \\"inf\\"":"nan","x":[{text},1]}}'.encode()

    found = decode_text(body)

    assert found['a nan, "inf"'] == "nan"
    assert found["x"] == [pytest.approx(value, nan_ok=True), 1]


@pytest.mark.parametrize(
    "body",
    [b"", b"[1]", b"nan", b'{"a":', b'{"a":nano}', b"\xff\xfe", b"[" * 100_000, b'{"a":1}x'],
    ids=range(8),
)
def test_what_is_no_map_of_json_is_refused(body: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode_text(body)
    assert caught.value.code is Code.BAD_FRAME


def test_only_ascii_is_said() -> None:
    assert encode_text({"type": "call", "method": "hüpf"})[4:] == (
        b'{"type": "call", "method": "h\\u00fcpf"}'
    )


# -- the conversation ------------------------------------------------------------------------------


def test_what_comes_out_of_turn_is_refused() -> None:
    talk = Conversation(MOST)
    talk.receive(encode_text({"type": "step"}))
    with pytest.raises(ProtocolError, match="step where env_info must come"):
        talk.next_event()
    assert talk.phase is Phase.CLOSED
    assert talk.next_event() is None


def test_a_game_may_not_speak_before_its_answer() -> None:
    talk = Conversation(MOST)
    talk.receive(encode_text(info()) * 2)
    talk.next_event()
    with pytest.raises(ProtocolError, match="env_info where nothing before an answer must come"):
        talk.next_event()


def test_a_frame_over_the_limit_is_refused_from_its_header() -> None:
    talk = Conversation(100)
    talk.receive(b"GET / HTTP/1.1\r\n")
    with pytest.raises(ProtocolError, match="looks like an HTTP request"):
        talk.next_event()


@pytest.mark.parametrize("field", ["obs", "reward", "done", "info"])
def test_another_number_of_agents_is_refused(field: str) -> None:
    talk = Conversation(MOST)
    talk.receive(encode_text(info(2)))
    talk.next_event()
    talk.reset()
    seen = [{"obs": [0, 0]}] * 2
    talk.receive(encode_text({"type": "reset", "obs": seen}))
    talk.next_event()
    talk.act([{}, {}])
    step: dict[str, Any] = {"type": "step", "obs": seen, "reward": [0, 0], "done": [False, False]}
    step |= {"info": [{}, {}]}
    step[field] = step[field] * 2
    talk.receive(encode_text(step))

    with pytest.raises(ProtocolError) as caught:
        talk.next_event()

    assert caught.value.field == f"step.{field}"
    assert caught.value.expected == "a list of 2, as many as env_info.n_agents"
    assert caught.value.got == "a list of 4"


# -- spaces ----------------------------------------------------------------------------------------


def test_players_are_grouped_by_the_names_of_their_policies() -> None:
    names = ["Hunter", "prey", "Hunter"]

    found = read_spaces(info(3, agent_policy_names=names), prefix="field.")

    assert found.version == "0.7"
    assert [(p.agent, p.given, p.players) for p in found.policies] == [
        ("field.hunter", "Hunter", (0, 2)),
        ("field.prey", "prey", (1,)),
    ]


@pytest.mark.parametrize(
    ("heads", "action", "numbers", "said"),
    [
        ({"a": 3}, {"kind": "discrete", "n": 3}, [2], {"a": 2}),
        ({"b": 3, "a": 2}, {"kind": "multi_discrete", "n": [3, 2]}, [2, 1], {"b": 2, "a": 1}),
        (
            {"a": -1, "b": -2},
            {"kind": "box", "low": [-1.0] * 3, "high": [1.0] * 3},
            [0.5, -1, 1],
            {"a": [0.5], "b": [-1.0, 1.0]},
        ),
    ],
)
def test_heads_become_actions(heads, action, numbers, said) -> None:
    """Sizes below 0 stand for continuous heads."""
    kinds = {True: "discrete", False: "continuous"}
    space = {k: {"size": float(abs(n)), "action_type": kinds[n > 0]} for k, n in heads.items()}

    policy = read_spaces(info(action_space=[space])).policies[0]

    assert policy.action == action
    assert policy.action_of(numbers) == said
    assert list(policy.action_of(numbers)) == list(space)
    assert all(type(v) is int for v in said.values() if not isinstance(v, list))


def test_an_image_is_read_from_hex_in_its_own_order() -> None:
    space = {"camera_2d": {"size": [3, 1, 2], "space": "box"}}
    policy = read_spaces(info(observation_space=[space])).policies[0]
    (sensor,) = policy.sensors

    assert policy.observation == {"camera_2d": {"dtype": "uint8", "shape": [3, 1, 2]}}
    assert sensor.read("0a0b0c" + "1a1b1c") == bytes([0x0A, 0x1A, 0x0B, 0x1B, 0x0C, 0x1C])


def test_a_choice_becomes_one_of_n_and_a_box_is_flat() -> None:
    space = {
        "room": {"size": 3, "space": "discrete"},
        "map!": {"size": [2, 2], "space": "box", "low": 0, "high": 1},
    }
    policy = read_spaces(info(observation_space=space)).policies[0]
    room, chart = policy.sensors

    assert policy.observation == {
        "room": {"dtype": "float32", "shape": [3]},
        "map_": {"dtype": "float32", "shape": [4]},
    }
    assert floats(room.read(2)) == floats(room.read([2.0])) == [0, 0, 1]
    assert floats(chart.read([[1, 2], [3, True]])) == [1, 2, 3, 1]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"n_agents": 0}, "env_info.n_agents"),
        ({"n_agents": None}, "env_info.n_agents"),
        ({"n_agents": 1.5}, "env_info.n_agents"),
        ({"observation_space": None}, "env_info.observation_space"),
        ({"observation_space": [{}, {}]}, "env_info.observation_space"),
        ({"action_space": [3]}, "env_info.action_space[0]"),
        ({"action_space": [{}]}, "env_info.action_space, agent 0"),
        ({"action_space": [{"a": {"size": 2}}]}, "env_info.action_space, agent 0.a"),
        (
            {"action_space": [{"a": {"size": 0, "action_type": "discrete"}}]},
            "env_info.action_space, agent 0.a.size",
        ),
        ({"observation_space": [{"o": 3}]}, "env_info.observation_space, agent 0.o"),
        (
            {"observation_space": [{"o": {"space": "box", "size": [-2]}}]},
            "env_info.observation_space, agent 0.o.size",
        ),
        (
            {"observation_space": [{k: {"space": "box", "size": [1]} for k in ("o!", "o?")}]},
            "env_info.observation_space, agent 0.o?",
        ),
        ({"agent_policy_names": ["a", "b"]}, "env_info.agent_policy_names"),
        ({"agent_policy_names": [7]}, "env_info.agent_policy_names[0]"),
    ],
)
def test_spaces_that_are_none_are_refused_by_name(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        read_spaces(info(**changes))
    assert caught.value.field == field


def test_players_of_one_policy_must_be_alike_and_names_must_differ() -> None:
    other = {"obs": {"size": [3], "space": "box"}}
    spaces = [info()["observation_space"][0], other]
    with pytest.raises(ProtocolError, match="agent 1: want the spaces of agent 0"):
        read_spaces(info(2, observation_space=spaces))
    with pytest.raises(ProtocolError, match="'Hunter' and 'hunter'"):
        read_spaces(info(2, agent_policy_names=["Hunter", "hunter"]))


# -- episodes --------------------------------------------------------------------------------------


def test_done_ends_the_row_with_the_last_observation_known_and_begins_the_next() -> None:
    player = episodes()
    player.rows(moment([1, 2]))
    player.rows(moment([3, 4], 0.5, False))

    good, refused, faults = player.rows(moment([9, 9], 1.0, True))

    assert (refused, faults) == ([], [])
    assert [(row.kind, row.reward) for row in good] == [(TERMINATED, 1.0), (FIRST, 0.0)]
    fields = step_fields(player.policy, good)
    assert floats(fields["obs"]["obs"]) == [3, 4, 9, 9]
    assert fields["stream"] == bytes(8)
    assert "success" not in fields
    assert "elapsed" not in fields


def test_info_gives_the_final_observation_the_limit_and_success() -> None:
    player = episodes()
    player.rows(moment([1, 2]))
    more = {"terminal_observation": {"obs": [5, 6]}, "TimeLimit.truncated": True}

    good = player.rows(moment([9, 9], 0.0, True, **more, is_success=False)).good

    assert [row.kind for row in good] == [TRUNCATED, FIRST]
    fields = step_fields(player.policy, good)
    assert floats(fields["obs"]["obs"]) == [5, 6, 9, 9]
    assert fields["success"] == b"\0\0"
    won = player.rows(moment([9, 9], 0.0, True, is_success=True)).good
    assert step_fields(player.policy, won)["success"] == b"\1\0"


@pytest.mark.parametrize(
    ("obs", "fault"),
    [
        ([0, math.nan], "agent 0: obs.obs[1]: expected a finite number of float32, got nan"),
        ([-math.inf, 0], "agent 0: obs.obs[0]: expected a finite number of float32, got -inf"),
        ([0, 1e39], "agent 0: obs.obs[1]: expected a finite number of float32, got 1e+39"),
        ([0, 10**400], "agent 0: obs.obs[1]: expected a finite number of float32, got inf"),
        ([0, None], "agent 0: obs.obs[1]: expected a number, got null"),
        ([0, "1"], "agent 0: obs.obs[1]: expected a number, got '1'"),
        ([1, 2, 3], "agent 0: obs.obs: expected 2 numbers, got 3"),
        ([[1, 2], [3]], "agent 0: obs.obs: expected 2 numbers, got 3"),
        ([], "agent 0: obs.obs: expected 2 numbers, got 0"),
        ({}, "agent 0: obs.obs[0]: expected a number, got a map of 0"),
        (None, "agent 0: obs.obs[0]: expected a number, got null"),
    ],
)
def test_a_row_with_a_number_that_is_none_is_refused_by_name(obs: Any, fault: str) -> None:
    player = episodes()
    player.rows(moment([1, 2]))

    good, refused, faults = player.rows(moment(obs, 0.25, False))

    assert faults == [fault]
    assert good == []
    assert [row.kind for row in refused] == [MID]
    assert np.isnan(floats(step_fields(player.policy, refused)["obs"]["obs"])).all()


def test_after_a_refused_row_the_next_one_took_two_steps_and_has_both_rewards() -> None:
    player = episodes()
    for row in player.rows(moment([1, 2])).good:
        player.played(row, [2])
    player.rows(moment([0, math.nan], 0.25, False))
    assert list(player.actions()) == [(0, {"move": 2})]

    (row,) = player.rows(moment([3, 4], 0.5, False)).good

    assert (row.kind, row.reward, row.elapsed) == (MID, 0.75, 2)
    assert floats(step_fields(player.policy, [row])["elapsed"]) == [2]
    assert player.rows(moment([5, 6], 0.5, False)).good[0].elapsed == 1


def test_a_bad_first_row_leaves_the_episode_to_begin_with_the_next() -> None:
    player = episodes()
    assert [row.kind for row in player.rows(moment([math.nan, 0])).refused] == [FIRST]
    good = player.rows(moment([1, 2], 0.5, False)).good
    assert [(row.kind, row.reward) for row in good] == [(FIRST, 0.0)]

    good, refused, _ = player.rows(moment([math.nan, 0], 1.0, True))
    assert [(row.kind, row.reward) for row in good] == [(TERMINATED, 1.0)]
    assert [row.kind for row in refused] == [FIRST]


@pytest.mark.parametrize("reward", [math.nan, None, "1", [1, 2]])
def test_a_bad_reward_refuses_the_row_and_cuts_an_episode_that_it_would_end(reward: Any) -> None:
    player = episodes()
    player.rows(moment([1, 2]))

    good, refused, (fault,) = player.rows(moment([3, 4], reward, False))
    assert (good, [row.kind for row in refused]) == ([], [MID])
    assert fault.startswith("agent 0: reward: expected ")

    good, refused, _ = player.rows(moment([5, 6], reward, True))
    assert [(row.kind, row.elapsed) for row in good] == [(TRUNCATED, 2), (FIRST, 1)]
    assert refused == []


def test_a_bad_final_observation_is_named_and_the_last_one_known_stands_in() -> None:
    player = episodes()
    player.rows(moment([1, 2]))

    good, refused, faults = player.rows(
        moment([9, 9], 1.0, True, terminal_observation={"obs": [1]})
    )

    assert faults == ["agent 0: info.terminal_observation.obs: expected 2 numbers, got 1"]
    assert refused == []
    assert floats(step_fields(player.policy, good)["obs"]["obs"]) == [1, 2, 9, 9]


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("0a0", "expected a string of 4 hex digits, got '0a0'"),
        ("0agg", "expected two hex digits, got 'gg'"),
        ([1, 2], "expected a string of 4 hex digits, got a list of 2"),
    ],
)
def test_an_image_that_is_none_is_refused(value: Any, fault: str) -> None:
    space = {"obs_2d": {"size": [1, 1, 2], "space": "box"}}
    player = episodes(observation_space=[space])

    _, refused, faults = player.rows(GameMoment([{"obs_2d": value}], None, None, [{}]))

    assert len(refused) == 1
    assert faults[0].endswith(fault)


def test_rewards_that_add_up_to_no_number_become_one_that_the_server_refuses() -> None:
    player = episodes()
    player.rows(moment([1, 2]))
    player.rows(moment([math.nan, 0], 3e38, False))
    good = player.rows(moment([1, 2], 3e38, False)).good
    assert floats(step_fields(player.policy, good)["reward"]) == [math.inf]
