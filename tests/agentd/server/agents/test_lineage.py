"""Agents made of agents: begun anew, copied, brought to another schema; or nothing at all."""

import asyncio
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from agentd.auth import Grant, Tokens
from agentd.protocol import messages as m
from agentd.protocol.codec import encode
from agentd.server.agents.lineage import copy_agent
from agentd.store import list_checkpoints, read_checkpoint

FIRST, MID = 0, 1
DQN = {
    "learner": "dqn",
    "model": {"layers": [{"dense": 16}, "relu"]},
    "dqn": {"batch": 8},
    "pace": {"mode": "paced", "learn_start": 16, "train_every": 8},
    "exploration": {"start": 1.0, "end": 0.1, "steps": 40},
}
NONE = {"learner": "none", "model": {"layers": [{"dense": 16}, "relu"]}}
TWO = {"protocol": (2, 2)}
WIDER = {"x": {"dtype": "float32", "shape": [4]}, "eye": {"dtype": "uint8", "shape": [2]}}
FOUR = {"kind": "discrete", "n": 4}


class Operator:
    """Asks one operation after the other."""

    def __init__(self, house, peer) -> None:
        self.house, self.peer = house, peer

    async def ask(self, operation: m.Message) -> m.ServerMessage:
        await self.peer.say(operation)
        return await self.peer.hear(30)

    async def stats(self, agent: str) -> dict:
        return (await self.ask(m.Stats(agent=agent))).agents[agent]

    async def names(self) -> list[str]:
        return [each["agent"] for each in (await self.ask(m.Agents())).agents]

    @property
    def folder(self):
        return self.house.server.registry.stored.folder("x").parent


async def operator_of(house) -> Operator:
    peer = await house.peer()
    await peer.hello("", role="admin", **TWO)
    return Operator(house, peer)


def rows(seed: int, steps: int):
    return np.random.default_rng(seed).normal(size=(steps, 4, 4))


async def play(house, agent: str = "a", steps: int = 30, seed: int = 1) -> list[bytes]:
    """A game from its first row to its goodbye; what it was answered."""
    peer = await house.peer()
    await peer.hello(agent, **TWO)
    answers = []
    for at, obs in enumerate(rows(seed, steps)):
        reward = obs.sum(axis=1)
        act = await peer.step([FIRST if at == 0 else MID] * 4, obs, reward)
        answers.append(bytes(act.action) + act.version.to_bytes(4, "little"))
    await leave(peer)
    return answers


async def leave(peer) -> None:
    await peer.say(m.Goodbye(reason="client_done"))
    assert isinstance(await peer.hear(), m.Goodbye)


async def values(house, agent: str, obs, **changes) -> tuple[np.ndarray, np.ndarray]:
    """What a player of the agent is answered, and its values, for rows on four streams."""
    peer = await house.peer()
    await peer.hello(agent, role="play", explain=True, **TWO, **changes)
    fields = {name: np.ascontiguousarray(part).tobytes() for name, part in obs.items()}
    message = m.Step(
        seq=1,
        stream=np.arange(4, dtype="<u4").tobytes(),
        kind=bytes(4),
        reward=bytes(16),
        obs=fields,
    )
    await peer.say(message)
    act = await peer.hear()
    assert isinstance(act, m.ActReply), act
    await leave(peer)
    return np.frombuffer(act.action, "<i4"), np.frombuffer(act.q, "<f4").reshape(4, -1)


def step_of(checkpoint: str) -> int:
    return int(checkpoint.split("-")[1])


# -- reset ----------------------------------------------------------------------------------------


async def test_a_reset_agent_learns_bit_for_bit_as_a_new_one(serve):
    house = await serve(DQN)
    operator = await operator_of(house)
    first = await play(house)
    known = await operator.stats("a")
    assert known["epsilon"] < 1.0

    reply = await operator.ask(m.Reset(agent="a"))

    assert isinstance(reply, m.WasReset), reply
    info = (await operator.ask(m.Info(agent="a"))).info
    assert info["config"]["dqn"]["batch"] == 8
    assert reply.checkpoint in info["checkpoints"][1:]
    assert not (await operator.stats("a")).get("lost")
    assert await play(house) == first
    anew = await operator.stats("a")
    assert {anew[key] == known[key] for key in ("rows_kept", "env_steps", "epsilon")} == {True}

    loaded = await operator.ask(m.Load(agent="a", checkpoint=reply.checkpoint))
    assert (loaded.checkpoint, loaded.step) == (reply.checkpoint, step_of(reply.checkpoint))
    assert loaded.step > 0
    await play(house, seed=2)


async def settled(operator):
    """The stats of an agent whose learner has done what it owed."""
    known = await operator.stats("a")
    for _ in range(100):
        await asyncio.sleep(0.2)
        before, known = known, await operator.stats("a")
        if known["updates"] == before["updates"]:
            return known
    raise AssertionError("it goes on learning with nobody there")


async def test_a_reset_may_keep_the_weights_and_forget_the_rows(serve):
    house = await serve(DQN)
    operator = await operator_of(house)
    await play(house)
    known = await settled(operator)
    obs = {"x": rows(3, 1)[0].astype("<f4")}
    before = await values(house, "a", obs)

    reply = await operator.ask(m.Reset(agent="a", keep="weights"))

    assert isinstance(reply, m.WasReset), reply
    after = await values(house, "a", obs)
    assert (after[1] == before[1]).all()
    stats = await operator.stats("a")
    assert (stats["rows_kept"], stats["lost"]) == (0, [])
    assert (stats["env_steps"], stats["epsilon"]) == (known["env_steps"], known["epsilon"])
    await play(house, seed=4)
    assert (await operator.stats("a"))["updates"] > known["updates"]


async def test_a_reset_waits_for_games_to_leave_and_is_nothing_to_a_new_agent(serve):
    house = await serve(NONE)
    operator, peer = await operator_of(house), await house.peer()
    await peer.hello(**TWO)
    refusal = await operator.ask(m.Reset(agent="a"))
    assert (refusal.code, refusal.field) == ("AGENT_IN_USE", "agent")
    assert isinstance(await peer.step([FIRST] * 4), m.ActReply)
    assert isinstance(await operator.ask(m.Create(agent="new", config=DQN)), m.Created)
    assert await operator.ask(m.Reset(agent="new")) == m.WasReset(agent="new")
    refusal = await operator.ask(m.Reset(agent="nobody"))
    assert (refusal.code, "one of a, new") == ("UNKNOWN_AGENT", refusal.expected)


async def test_a_session_that_waited_ends_with_what_was_reset(serve):
    house = await serve(DQN)
    operator, peer = await operator_of(house), await house.peer()
    welcome = await peer.hello(**TWO)
    await peer.step([FIRST] * 4)
    await peer.close()
    for _ in range(100):
        reply = await operator.ask(m.Reset(agent="a"))
        if isinstance(reply, m.WasReset):
            break
    again = await house.peer()
    assert not (await again.hello(resume=welcome.session, **TWO)).resumed


@pytest.mark.parametrize("end", ["swapped", "half", "before"])
async def test_a_reset_that_was_cut_off_is_finished_or_undone(serve, tmp_path, end):
    house = await serve(NONE, data_dir=tmp_path / "data")
    await play(house)
    await house.down()
    root = tmp_path / "data" / "agents"
    shutil.copytree(root / "a", root / ".new-a")
    (root / ".new-a" / "frozen").touch()
    if end != "before":
        (root / "a").rename(root / ".deleted-a")
    if end == "swapped":
        (root / ".new-a").rename(root / "a")

    house = await serve(DQN, data_dir=tmp_path / "data")

    info = (await (await operator_of(house)).ask(m.Info(agent="a"))).info
    assert info["frozen"] is (end != "before")
    assert sorted(os.listdir(root)) == ["a"]


# -- explore --------------------------------------------------------------------------------------


async def test_exploration_is_set_and_given_back(serve, tmp_path):
    house = await serve(DQN, data_dir=tmp_path / "data")
    operator = await operator_of(house)
    await play(house)
    assert (await operator.stats("a"))["epsilon"] == 0.1

    set_to = await operator.ask(m.Explore(agent="a", value=0.5))
    assert set_to == m.ExploringReply(agent="a", kind="epsilon", value=0.5)
    assert (await operator.stats("a"))["epsilon"] == 0.5
    assert (await operator.ask(m.Info(agent="a"))).info["exploring"] == {"value": 0.5, "since": 0}
    await house.down()
    house = await serve(DQN, data_dir=tmp_path / "data")
    operator = await operator_of(house)
    peer = await house.peer()
    await peer.hello(**TWO)
    assert (await operator.stats("a"))["epsilon"] == 0.5

    assert (await operator.ask(m.Explore(agent="a", again=True))).value == 1.0
    await peer.step([FIRST] * 4)
    await peer.step([MID] * 4)
    assert (await operator.stats("a"))["epsilon"] == pytest.approx(1 - 0.9 * 8 / 40)
    assert (await operator.ask(m.Explore(agent="a"))).value == 0.1
    assert (await operator.ask(m.Info(agent="a"))).info["exploring"] is None


async def test_a_value_of_1_explores_in_every_row_and_0_in_none(serve):
    house = await serve(DQN)
    operator, peer = await operator_of(house), await house.peer()
    await peer.hello(explain=True, **TWO)
    for value in (1.0, 0.0, 1.0):
        assert isinstance(await operator.ask(m.Explore(agent="a", value=value)), m.ExploringReply)
        act = await peer.step([FIRST if peer.seq == 0 else MID] * 4)
        assert {*act.explored} == {int(value)}


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"value": 1.5}, "value"),
        ({"value": -0.1}, "value"),
        ({"value": float("nan")}, "value"),
        ({"value": 0.5, "again": True}, "again"),
    ],
)
async def test_exploration_that_is_none(serve, asked, field):
    house = await serve(DQN)
    operator = await operator_of(house)
    await (await house.peer()).hello(role="play", **TWO)
    refusal = await operator.ask(m.Explore(agent="a", **asked))
    assert (refusal.code, refusal.field) == ("BAD_CONFIG", field)


@pytest.mark.parametrize("config", [{"learner": "none"}, {"learner": "supervised"}])
async def test_what_never_explores_says_so(serve, config):
    house = await serve(config)
    operator = await operator_of(house)
    await (await house.peer()).hello(role="play", **TWO)
    refusal = await operator.ask(m.Explore(agent="a", value=0.5))
    assert (refusal.code, refusal.field) == ("BAD_CONFIG", "agent")


# -- copy -----------------------------------------------------------------------------------------


async def test_a_copy_knows_the_same_and_goes_its_own_way(serve):
    house = await serve(DQN)
    operator = await operator_of(house)
    await play(house)
    await operator.ask(m.Freeze(agent="a", on=True))
    await operator.ask(m.Freeze(agent="a", on=False))
    obs = {"x": rows(3, 1)[0].astype("<f4")}
    peer = await house.peer()
    await peer.hello(**TWO)  # the old one may be in use

    reply = await operator.ask(m.Copy(agent="a", to="b"))

    assert isinstance(reply, m.Copied), reply
    assert (reply.to, reply.step > 0) == ("b", True)
    await leave(peer)
    known, found = await values(house, "a", obs), await values(house, "b", obs)
    assert (known[1] == found[1]).all()
    stats = await operator.stats("b")
    assert (stats["rows_kept"], stats["lost"], stats["epsilon"]) == (0, [], 0.1)
    await play(house, "b", seed=5)
    after = await values(house, "b", obs)
    assert (after[1] != known[1]).any()
    assert (await values(house, "a", obs))[1].tobytes() == known[1].tobytes()


async def test_a_copy_with_its_rows_does_what_the_old_one_would_have_done(serve):
    house = await serve(DQN)
    operator, peer = await operator_of(house), await house.peer()
    await peer.hello(**TWO)
    refusal = await operator.ask(m.Copy(agent="a", to="b", replay=True))
    assert refusal.code == "AGENT_IN_USE"
    await leave(peer)
    await play(house)
    kept = (await operator.stats("a"))["rows_kept"]

    reply = await operator.ask(m.Copy(agent="a", to="b", replay=True))

    assert isinstance(reply, m.Copied), reply
    peer = await house.peer()
    await peer.hello("b", role="play", **TWO)
    stats = await operator.stats("b")
    assert (stats["rows_kept"], stats["lost"]) == (kept, [])
    assert await play(house, "a", seed=6) == await play(house, "b", seed=6)


async def test_names_that_are_taken_or_none(serve):
    house = await serve(NONE)
    operator = await operator_of(house)
    await play(house, steps=2)
    for operation in (
        m.Copy(agent="a", to="a"),
        m.Migrate(agent="a", to="a", observation=WIDER, action=FOUR),
    ):
        refusal = await operator.ask(operation)
        assert (refusal.code, refusal.field) == ("AGENT_EXISTS", "to")
    refusal = await operator.ask(m.Copy(agent="a", to="../b"))
    assert (refusal.code, refusal.field) == ("UNKNOWN_AGENT", "to")
    refusal = await operator.ask(m.Copy(agent="nobody", to="b"))
    assert (refusal.code, refusal.field) == ("UNKNOWN_AGENT", "agent")
    assert await operator.names() == ["a"]


async def test_two_copies_of_one_name_are_one(serve):
    house = await serve(NONE)
    operators = [await operator_of(house) for _ in range(2)]
    await play(house, steps=4)
    for each in operators:
        await each.peer.say(m.Copy(agent="a", to="b"))
    replies = [await each.peer.hear(30) for each in operators]
    assert sorted(type(reply).__name__ for reply in replies) == ["Copied", "Error"]
    assert await operators[0].names() == ["a", "b"]


@pytest.mark.parametrize("where", ["checkpoints", "replay"])
async def test_a_copy_that_fails_leaves_nothing(serve, monkeypatch, where):
    house = await serve(NONE if where == "checkpoints" else DQN)
    operator = await operator_of(house)
    await play(house, steps=4)
    root = operator.folder

    def refuse(*arguments: object, **more: object) -> None:
        assert (root / ".new-b" / "config.yaml").exists()
        raise OSError(28, "No space left on device")

    part = "FirstState.write" if where == "checkpoints" else "open_ring"
    monkeypatch.setattr(f"agentd.server.agents.lineage.{part}", refuse)
    refusal = await operator.ask(m.Copy(agent="a", to="b"))

    assert refusal.code == "STORAGE_FAILED"
    assert sorted(os.listdir(root)) == ["a"]
    monkeypatch.undo()
    await copy_agent(house.server.registry, "a", "b", replay=False)
    assert await operator.names() == ["a", "b"]


async def test_a_lesser_grant_is_forbidden(serve):
    house = await serve(NONE, tokens=Tokens([(Grant.LEARN, "learner")]))
    peer = await house.peer()
    await peer.hello(token="learner", **TWO)
    for operation in (
        m.Reset(agent="a"),
        m.Explore(agent="a"),
        m.Copy(agent="a", to="b"),
        m.Migrate(agent="a", to="b", observation=WIDER, action=FOUR),
    ):
        await peer.say(operation)
        assert (await peer.hear()).code == "FORBIDDEN"


async def test_an_agent_that_cannot_take_its_place_leaves_the_old_one(serve, monkeypatch):
    house = await serve(NONE)
    operator = await operator_of(house)
    await play(house, steps=2)
    root, rename = operator.folder, Path.rename

    def refuse(path: Path, target: Path) -> Path:
        if path.name == ".new-a":
            raise OSError(5, "Input/output error")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    refusal = await operator.ask(m.Reset(agent="a"))
    monkeypatch.undo()

    assert refusal.code == "STORAGE_FAILED"
    assert os.listdir(root) == ["a"]
    await play(house, steps=2)


async def test_version_1_does_not_know_the_verbs(serve):
    house = await serve(NONE)
    for operation in (
        m.Reset(agent="a"),
        m.Explore(agent="a"),
        m.Copy(agent="a", to="b"),
        m.Migrate(agent="a", to="b", observation=WIDER, action=FOUR),
    ):
        peer = await house.peer()
        await peer.hello("", role="admin")
        peer.writer.write(encode(operation))
        refusal = await peer.hear()
        assert (refusal.code, refusal.field, refusal.fatal) == ("BAD_MESSAGE", "type", True)


async def test_what_no_machine_can_hold_is_refused_before_it_is_made(serve):
    house = await serve(DQN, agent_disk_bytes=40 << 20)
    operator = await operator_of(house)
    await play(house, steps=2)
    huge = {"x": {"dtype": "float32", "shape": [4]}, "y": {"dtype": "float32", "shape": [512, 512]}}
    refusal = await operator.ask(m.Migrate(agent="a", to="b", observation=huge, action=FOUR))
    assert (refusal.code, refusal.field) == ("BAD_CONFIG", "replay.capacity")
    assert os.listdir(operator.folder) == ["a"]


async def test_a_first_checkpoint_says_whose_it_is(serve):
    house = await serve(DQN)
    operator = await operator_of(house)
    await play(house)
    await operator.ask(m.Migrate(agent="a", to="b", observation=WIDER, action=FOUR))
    folder = operator.folder / "b" / "checkpoints"
    (name,) = list_checkpoints(folder)
    facts = read_checkpoint(folder, name).facts
    assert facts["schema"] == {"observation": WIDER, "action": FOUR}
    assert facts["counters"]["head"] == 0 < facts["counters"]["env_steps"]
