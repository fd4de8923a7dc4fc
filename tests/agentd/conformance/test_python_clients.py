"""Both Python clients keep every rule that they can break, in a game that uses all they offer."""

import asyncio
import threading

import numpy as np
import pytest

from agentd.client import FIRST, MID, TERMINATED, TRUNCATED, AsyncClient, Client
from agentd.client.errors import ClientError, DataRefused, SessionLost
from agentd.conformance.check import check_client
from agentd.conformance.stage import Stage
from agentd.protocol import messages

OBSERVATION = {"x": ("float32", (2,)), "n": ("int32", ())}
ACTIONS = (3, 2)
CLIENTS = ("blocking", "asyncio", "blocking ws", "asyncio ws")
OPTIONS = {"streams": 2, "explain": True, "wait": 5.0, "retry_for": 5.0}


class Game:
    """Two streams with episodes of five rows, with masks and all that a row may say."""

    def __init__(self):
        self.rng = np.random.default_rng(3)
        self.begin()

    def begin(self):
        self.age, self.played = 0, np.zeros((2, 2), np.int32)

    def rows(self, newer):
        kind = FIRST if self.age == 0 else MID if self.age < 5 else TERMINATED
        both = kind == TERMINATED
        kinds = [kind, TRUNCATED if both else kind] + [FIRST, FIRST] * both
        n = len(kinds)
        mask = np.ones((n, 5), np.uint8)
        mask[:, self.age % 3] = 0
        facts = {}
        if newer:
            taken = np.concatenate([self.played] * (n // 2))
            ended = np.array(kinds) >= TERMINATED
            facts = {"taken": taken, "elapsed": 1.0, "success": ended}
        obs = {"x": self.rng.random((n, 2)).astype(np.float32), "n": np.full(n, self.age, np.int32)}
        stream = [0, 1] * (n // 2)
        self.age = 1 if both else self.age + 1
        return {"obs": obs, "reward": 0.5, "kind": kinds, "stream": stream, "mask": mask, **facts}

    def take(self, act):
        self.played = act.actions[-2:]


def play(address):
    """The blocking client until it is refused for good."""
    game = Game()
    with Client.connect(address, "blocking", OBSERVATION, ACTIONS, **OPTIONS) as client:
        for turn in range(10**6):
            try:
                newer = client.welcome.protocol > 1
                game.take(client.step(**game.rows(newer)))
                if newer and turn % 7 == 0:
                    client.log(fuel=0.5)
                    client.operate(messages.Stats())
            except SessionLost:
                game.begin()
            except DataRefused:
                client.abandon()
                game.begin()


async def play_awaited(address):
    """As ``play``, for the asyncio client."""
    game = Game()
    connect = AsyncClient.connect(address, "awaited", OBSERVATION, ACTIONS, **OPTIONS)
    async with await connect as client:
        for turn in range(10**6):
            try:
                newer = client.welcome.protocol > 1
                game.take(await client.step(**game.rows(newer)))
                if newer and turn % 7 == 0:
                    await client.log(fuel=0.5)
                    await client.operate(messages.Stats())
            except SessionLost:
                game.begin()
            except DataRefused:
                await client.abandon()
                game.begin()


async def check(target, scheme=""):
    stage = Stage((), 8.0)
    address = scheme + await stage.listen("127.0.0.1", 0)
    ends = []

    def run():
        try:
            target(address)
        except ClientError as end:
            ends.append(end)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        await check_client(stage, lambda name: None)
    finally:
        await stage.close()
        await asyncio.to_thread(thread.join, 20)
    return stage, ends


@pytest.fixture(scope="module")
def stages():
    def awaited(address):
        asyncio.run(play_awaited(address))

    async def all_of_them():
        checks = (check(play), check(awaited), check(play, "ws://"), check(awaited, "ws://"))
        return await asyncio.gather(*checks)

    return dict(zip(CLIENTS, asyncio.run(all_of_them()), strict=True))


@pytest.mark.parametrize("client", CLIENTS)
def test_a_python_client_keeps_the_rules(client, stages):
    stage, ends = stages[client]
    found = {v.rule.key: v.outcome for v in stage.findings.verdicts()}
    broken = [v for v in stage.findings.verdicts() if v.breach is not None]

    assert broken == [], stage.notes
    unseen = [key for key, outcome in found.items() if outcome == "NOT SEEN"]
    assert unseen == ["R8 teach", *["R13 carrier"] * ("ws" not in client), "R14 numbers"]
    assert [end.code for end in ends] == ["BAD_SEQ"]
