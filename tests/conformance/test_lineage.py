"""Rule R20 of PROTOCOL.md, clause by clause, by a client that knows only that text."""

import os
import struct
from collections.abc import Callable
from typing import Any

import pytest

FIRST, MID = 0, 1
NAN, INF = float("nan"), float("inf")
Client = Any  # conftest.RawClient
Dial = Callable[..., Any]
BOTH = [1, 2]
X = {"dtype": "float32", "shape": [2]}
MORE = {"x": X, "eye": {"dtype": "uint8", "shape": [3]}}
FOUR = {"kind": "discrete", "n": 4}
NONE = {"learner": "none", "model": {"layers": [{"dense": 8}, "relu"]}}


@pytest.fixture
def admin(dial: Dial) -> Client:
    """A connection of role admin, in version 2."""
    made = dial()
    made.greet(None, role="admin", protocol=BOTH, observation=None, action=None, streams=None)
    return made


@pytest.fixture
def agent(admin: Client, dial: Dial, name: Callable[[], str]) -> str:
    """An agent that only plays, and that a game has said hello to."""
    made = name()
    assert admin.ask("create", agent=made, config=NONE)["type"] == "created"
    player = dial()
    player.greet(made, role="play", protocol=BOTH)
    leave(player)
    return made


def leave(client: Client) -> None:
    client.send("goodbye", reason="client_done")
    client.expect_goodbye("client_done")


def values(dial: Dial, agent: str, n: int, seed: int = 0, **changes: Any) -> list[float]:
    """What an agent says of its actions for one row of [0.5, -1], the bytes of ``eye`` seeded."""
    client = dial()
    client.greet(agent, role="play", explain=True, protocol=BOTH, **changes)
    obs = {"x": struct.pack("<2f", 0.5, -1.0)}
    if "observation" in changes:
        obs["eye"] = bytes([seed, 2 * seed, 255 - seed])
    row = {"stream": bytes(4), "kind": bytes(1), "reward": bytes(4), "obs": obs}
    act = client.ask("step", seq=1, **row)
    assert act["type"] == "act", act
    leave(client)
    return list(struct.unpack(f"<{n}f", act["q"]))


def test_r20_a_sensor_and_an_action_more(dial: Dial, admin: Client, agent: str, name: Any) -> None:
    to = name()
    before = values(dial, agent, 3)
    answer = admin.ask("migrate", agent=agent, to=to, observation=MORE, action=FOUR)
    assert answer == {"type": "migrated", "agent": agent, "to": to, "step": 0}

    after = values(dial, to, 4, 1, observation=MORE, action=FOUR)

    assert after[:3] == pytest.approx(before, abs=1e-6)
    assert after[3] == pytest.approx(sum(before) / 3, abs=1e-6)
    assert values(dial, to, 4, 99, observation=MORE, action=FOUR) == after
    assert values(dial, agent, 3) == before
    stranger = dial()
    stranger.hello(to, protocol=BOTH)
    stranger.expect_end("SCHEMA_MISMATCH", "protocol")


def test_r20_the_refused_game_is_told_the_command(dial: Dial, agent: str) -> None:
    client = dial()
    client.hello(agent, observation=MORE, action=FOUR)
    error = client.expect_end("SCHEMA_MISMATCH", "protocol", "observation")
    words = f"agentd agent migrate {agent} {agent}-2 --add eye:uint8:3 --actions 4;"
    assert words in error["message"]


@pytest.mark.parametrize(
    ("observation", "action", "code", "field"),
    [
        ({}, FOUR, "BAD_CONFIG", "observation"),
        ({"x": {"dtype": "float64", "shape": [2]}}, FOUR, "BAD_CONFIG", "observation.x.dtype"),
        ({"x": X}, {"kind": "discrete", "n": 0}, "BAD_CONFIG", "action.n"),
        ({"x": X}, {"kind": "box", "low": [0.0], "high": [1.0]}, "UNSUPPORTED_ACTION", None),
        ({"x": {"dtype": "float32", "shape": [2, 2]}}, FOUR, "CANNOT_MIGRATE", "observation"),
    ],
)
def test_r20_schemas_that_it_cannot_be_brought_to(
    admin: Client,
    agent: str,
    name: Any,
    observation: dict[str, Any],
    action: dict[str, Any],
    code: str,
    field: str | None,
) -> None:
    to = name()
    reply = admin.ask("migrate", agent=agent, to=to, observation=observation, action=action)
    refused(reply, code, field)
    assert to not in names(admin)


def refused(reply: dict[str, Any], code: str, field: str | None) -> None:
    assert reply["type"] == "error", reply
    assert (reply["code"], reply["fatal"]) == (code, False), reply
    assert "seq" not in reply
    assert field is None or reply["field"] == field, reply


def names(admin: Client) -> set[str]:
    return {each["agent"] for each in admin.ask("agents")["agents"]}


def test_r20_a_network_that_reads_an_image_as_a_whole(dial: Dial, admin: Client, name: Any) -> None:
    seer, to = name(), name()
    model = {"layers": [{"conv2d": {"channels": 2, "kernel": 3}}, "flatten"]}
    assert admin.ask("create", agent=seer, config={"learner": "none", "model": model})
    player = dial()
    view = {"view": {"dtype": "uint8", "shape": [6, 6, 1]}}
    player.greet(seer, role="play", observation=view)
    leave(player)
    reply = admin.ask("migrate", agent=seer, to=to, observation=view | {"x": X}, action=FOUR)
    refused(reply, "CANNOT_MIGRATE", "observation")
    assert "conv2d" in reply["message"]
    late = dial()
    late.hello(seer, observation=view | {"x": X})
    error = late.expect_end("SCHEMA_MISMATCH", "protocol")
    assert "cannot be carried over" in error["message"]


def test_r20_a_copy(dial: Dial, admin: Client, agent: str, name: Any) -> None:
    to, third = name(), name()
    answer = admin.ask("copy", agent=agent, to=to)
    assert answer == {"type": "copied", "agent": agent, "to": to, "step": 0}
    assert values(dial, to, 3) == values(dial, agent, 3)
    player = dial()
    player.greet(agent, role="play", protocol=BOTH)
    refused(admin.ask("copy", agent=agent, to=third, replay=True), "AGENT_IN_USE", "agent")
    assert third not in names(admin)
    assert admin.ask("copy", agent=agent, to=third, replay=False)["type"] == "copied"
    refused(admin.ask("copy", agent=agent, to=to), "AGENT_EXISTS", "to")


def test_r20_a_reset(dial: Dial, admin: Client, agent: str, name: Any) -> None:
    player = dial()
    player.greet(agent, role="play", protocol=BOTH)
    refused(admin.ask("reset", agent=agent), "AGENT_IN_USE", "agent")
    leave(player)
    reply = admin.ask("reset", agent=agent, keep="weights")
    assert set(reply) == {"type", "agent", "checkpoint"}
    assert admin.ask("load", agent=agent, checkpoint=reply["checkpoint"])["type"] == "loaded"
    fresh = name()
    assert admin.ask("create", agent=fresh, config=NONE)["type"] == "created"
    assert admin.ask("reset", agent=fresh) == {"type": "reset", "agent": fresh}


def test_r20_exploration(dial: Dial, admin: Client, agent: str, name: Any) -> None:
    refused(admin.ask("explore", agent=agent, value=0.5), "BAD_CONFIG", "agent")
    learner = name()
    config = {"exploration": {"start": 0.75, "end": 0.0, "steps": 8}}
    assert admin.ask("create", agent=learner, config=config)["type"] == "created"
    player = dial()
    player.greet(learner, protocol=BOTH, explain=True)
    told = {"type": "exploring", "agent": learner, "kind": "epsilon"}
    assert admin.ask("explore", agent=learner, value=1.0) == told | {"value": 1.0}
    assert player.act([FIRST] * 4)["explored"] == b"\1" * 4
    assert admin.ask("explore", agent=learner, value=0) == told | {"value": 0.0}
    assert player.act([MID] * 4)["explored"] == bytes(4)
    assert admin.ask("explore", agent=learner, again=True) == told | {"value": 0.75}
    assert admin.ask("explore", agent=learner) == told | {"value": 0.0}
    for value in (NAN, INF, -0.5, 1.5):
        refused(admin.ask("explore", agent=learner, value=value), "BAD_CONFIG", "value")
    refused(admin.ask("explore", agent=learner, value=0.5, again=True), "BAD_CONFIG", "again")


@pytest.mark.parametrize("agent_name", ["nobody", "../plain", ""])
@pytest.mark.parametrize(
    ("verb", "more"),
    [
        ("reset", {}),
        ("explore", {}),
        ("copy", {"to": "x"}),
        ("migrate", {"to": "x", "observation": {"x": X}, "action": FOUR}),
    ],
)
def test_r20_no_verb_takes_a_path(
    admin: Client, agent: str, verb: str, more: dict[str, Any], agent_name: str
) -> None:
    refused(admin.ask(verb, agent=agent_name, **more), "UNKNOWN_AGENT", "agent")
    for to in ("../y", "/tmp/y", "Y", ""):
        if "to" in more:
            refused(admin.ask(verb, agent=agent, **(more | {"to": to})), "UNKNOWN_AGENT", "to")


@pytest.mark.parametrize(
    ("verb", "more"), [("reset", {"keep": "everything"}), ("explore", {"value": "much"})]
)
def test_r20_words_that_are_none(
    admin: Client, agent: str, verb: str, more: dict[str, Any]
) -> None:
    admin.send(verb, agent=agent, **more)
    admin.expect_end("BAD_MESSAGE", "protocol", next(iter(more)))


@pytest.mark.parametrize("verb", ["reset", "explore", "copy", "migrate"])
def test_r20_version_1_knows_none_of_them(dial: Dial, verb: str) -> None:
    admin = dial()
    admin.greet(None, role="admin", observation=None, action=None, streams=None)
    admin.send(verb, agent="plain")
    admin.expect_end("BAD_MESSAGE", "protocol", "type")


@pytest.mark.parametrize(
    ("verb", "point"),
    [
        ("copy", "checkpoint.synced:2"),  # the second checkpoint is that of the copy
        ("reset", "agent.removed"),
    ],
)
def test_r20_what_is_left_after_a_kill_is_whole(
    serve: Any, monkeypatch: Any, verb: str, point: str
) -> None:
    """Killed while it makes an agent: the old one, or the new one, and nothing else."""
    setting = "agent={learner: none, model: {layers: []}}"
    monkeypatch.setenv("AGENTD_FAILPOINT", point)
    daemon = serve(setting)
    monkeypatch.undo()
    admin = daemon.client()
    admin.greet(None, role="admin", protocol=BOTH, observation=None, action=None, streams=None)
    before = values(daemon.client, "a", 3)
    admin.send(verb, agent="a", **({"to": "b"} if verb == "copy" else {}))
    assert admin.receive() is None
    daemon.kill()
    folder = daemon.folder / "data" / "agents"
    assert len(os.listdir(folder)) > 1

    again = serve(setting, folder=daemon.folder)

    assert os.listdir(folder) == ["a"]
    assert values(again.client, "a", 3) == before
    admin = again.client()
    admin.greet(None, role="admin", protocol=BOTH, observation=None, action=None, streams=None)
    assert len(admin.ask("info", agent="a")["info"]["checkpoints"]) == 1 + (
        point == "agent.removed"
    )
    again.stop()
