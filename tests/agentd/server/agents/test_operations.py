"""What operators are told: one truth for agents in memory and on disk, and what there is."""

import asyncio

import pytest

from agentd.protocol import messages as m

FIRST, MID = 0, 1
DQN = {"learner": "dqn", "dqn": {"batch": 8}, "pace": {"learn_start": 16, "train_every": 1}}


class Operator:
    """Asks one operation after the other."""

    def __init__(self, peer) -> None:
        self.peer = peer

    async def ask(self, operation: m.Message) -> m.ServerMessage:
        await self.peer.say(operation)
        return await self.peer.hear(30)

    async def frozen(self, agent: str) -> list[bool]:
        """What `agents`, `info` and `stats` say of it."""
        listed = {each["agent"]: each for each in (await self.ask(m.Agents())).agents}
        stats = (await self.ask(m.Stats(agent=agent))).agents[agent]
        info = (await self.ask(m.Info(agent=agent))).info
        return [listed[agent]["frozen"], info["frozen"], stats["frozen"]]


async def operator_of(house) -> Operator:
    peer = await house.peer()
    await peer.hello("", role="admin")
    return Operator(peer)


async def play(peer, steps: int) -> int:
    """Play; the version of the last answer."""
    for _ in range(steps):
        act = await peer.step([MID] * 4)
    return act.version


@pytest.mark.parametrize("how", ["loaded", "unloaded"])
async def test_an_agent_stays_frozen_whatever_is_restarted_or_lost(serve, tmp_path, how):
    house = await serve(DQN, data_dir=tmp_path / "data")
    operator, peer = await operator_of(house), await house.peer()
    await peer.hello()
    await peer.step([FIRST] * 4)
    await play(peer, 8)
    if how == "unloaded":
        await peer.say(m.Goodbye(reason="client_done"))
        await peer.hear()
        assert isinstance(await operator.ask(m.Unload(agent="a")), m.Unloaded)
    assert await operator.ask(m.Freeze(agent="a", on=True)) == m.Frozen(agent="a", on=True)
    assert await operator.frozen("a") == [True] * 3
    await house.down()
    for checkpoint in (tmp_path / "data/agents/a/checkpoints").glob("0*/manifest.json"):
        checkpoint.write_bytes(b"{}")  # the checkpoints know it too, and are not asked
        checkpoint.parent.rename(tmp_path / checkpoint.parent.name)

    house = await serve(DQN, data_dir=tmp_path / "data")
    operator, peer = await operator_of(house), await house.peer()
    assert await operator.frozen("a") == [True] * 3
    await peer.hello()
    await peer.step([FIRST] * 4)
    version = await play(peer, 1)
    assert await operator.ask(m.Save(agent="a"))  # the learner runs
    assert await play(peer, 20) == version
    assert await operator.frozen("a") == [True] * 3

    assert await operator.ask(m.Freeze(agent="a", on=False)) == m.Frozen(agent="a", on=False)
    assert await operator.frozen("a") == [False] * 3
    async with asyncio.timeout(30.0):  # a learner lets all others go first
        while await play(peer, 4) <= version:
            await asyncio.sleep(0.01)
    await house.down()
    house = await serve(DQN, data_dir=tmp_path / "data")
    assert await (await operator_of(house)).frozen("a") == [False] * 3


async def test_an_agent_that_never_played_is_as_much_there_as_any(serve):
    house = await serve(DQN)
    operator = await operator_of(house)
    assert isinstance(await operator.ask(m.Create(agent="new", config=DQN)), m.Created)

    facts = (await operator.ask(m.Stats(agent="new"))).agents["new"]
    assert facts == {"loaded": False, "sessions": 0, "connections": 0, "frozen": False}
    assert await operator.ask(m.Freeze(agent="new", on=True)) == m.Frozen(agent="new", on=True)
    assert await operator.frozen("new") == [True] * 3
    assert await operator.ask(m.Unload(agent="new")) == m.Unloaded(agent="new")
    refusal = await operator.ask(m.Save(agent="new"))
    assert (refusal.code, refusal.field) == ("UNKNOWN_AGENT", "agent")
    assert "has no network yet" in refusal.message

    peer = await house.peer()
    await peer.hello("new")
    assert (await operator.ask(m.Stats(agent="new"))).agents["new"]["frozen"] is True
    assert await operator.ask(m.Freeze(agent="new", on=False)) == m.Frozen(agent="new", on=False)
    assert isinstance(await operator.ask(m.Save(agent="new")), m.Saved)


@pytest.mark.parametrize("learner", ["none", "dqn"])
async def test_an_unknown_checkpoint_is_answered_with_those_that_there_are(serve, learner):
    house = await serve(DQN | {"learner": learner})
    operator, peer = await operator_of(house), await house.peer()
    await peer.hello()
    refusal = await operator.ask(m.Load(agent="a", checkpoint="latest"))
    assert (refusal.code, refusal.field) == ("UNKNOWN_CHECKPOINT", "checkpoint")
    assert refusal.expected == "none was written yet"
    saved = await operator.ask(m.Save(agent="a"))

    refusal = await operator.ask(m.Load(agent="a", checkpoint="latest"))

    assert refusal.message == "no checkpoint 'latest'"
    assert saved.checkpoint in refusal.expected


async def test_another_schema_is_told_what_to_do(serve):
    house = await serve()
    await (await house.peer()).hello()
    peer = await house.peer()
    more = {"x": {"dtype": "float32", "shape": [5]}}
    await peer.say(peer.hello_message(observation=more))

    error = await peer.hear()

    assert error.code == "SCHEMA_MISMATCH"
    assert error.message.endswith(
        "to keep what it knows: agentd agent migrate a a-2 --add x:float32:5; then give hello the "
        "name a-2 for `agent`, or delete this agent to begin it anew"
    )
