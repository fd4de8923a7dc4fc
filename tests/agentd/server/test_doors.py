"""S2, O1, O3: every verb and route asks who is there; the end saves; clocks may jump."""

import asyncio
import contextlib
import time
import urllib.error
import urllib.request
from typing import get_args

import msgspec
import pytest

from agentd.auth import Grant, Tokens
from agentd.config import ServerConfig, agent_config_from_wire
from agentd.protocol import messages as m
from agentd.protocol.errors import Code, ProtocolError
from agentd.server.peers.operations import operate
from agentd.store import list_checkpoints

FIRST, MID = 0, 1
DAY_S = 86_400.0
OPEN = {"/livez", "/readyz", "/agentd.js", "/", "/page.css", "/icon.svg", "/page.mjs"}
OPEN |= {"/charts.mjs", "/past.mjs", "/words.mjs", "/link.mjs"}
"""Paths that tell nothing of agents: they answer everybody."""
VERBS = get_args(m.Operation)


def filled(verb: type[msgspec.Struct]) -> msgspec.Struct:
    """A message of this kind with something in every field that must be there."""
    values = {"checkpoint": "c", "on": True, "config": {}, "values": {}, "replay": False}
    needed = [field for field in msgspec.structs.fields(verb) if field.required]
    return verb(**{field.name: values.get(field.name, "x") for field in needed})


async def test_every_verb_wants_an_operator():
    """There is no registry behind the door: who came in would break something else."""
    assert len(VERBS) >= 14
    for verb in VERBS:
        for grant in (Grant.NONE, Grant.ACT, Grant.LEARN):
            with pytest.raises(ProtocolError) as refused:
                await operate(grant, filled(verb), None, None)
            assert refused.value.code is Code.FORBIDDEN, verb


def status_of(address: str, path: str, method: str, token: str) -> int:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    url, data = f"http://{address}{path}", None
    if method == "POST":
        headers["content-type"], data = "application/json", b'{"type": "save", "agent": "a"}'
    request = urllib.request.Request(url, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:
            return reply.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


async def test_every_route_wants_a_token_or_tells_nothing_of_agents(serve):
    app = pytest.importorskip("agentd.server.http.app", reason="pip install starlette uvicorn")
    tokens = Tokens([(Grant.ACT, "a" * 16), (Grant.ADMIN, "x" * 16)])
    house = await serve(config=ServerConfig(port=0, http_port=0, autocreate=True), tokens=tokens)
    board = app.Board(house.server.registry, house.server.stats, house.server.progress, bool)
    guarded = set()
    for route in app.make_app(tokens, board).routes:
        for method in route.methods - {"HEAD"}:
            ask = (house.server.http_address, route.path, method)
            none, wrong = [await asyncio.to_thread(status_of, *ask, t) for t in ("", "w" * 16)]
            if route.path in OPEN:
                assert (none, wrong) == (200, 200), ask
            else:
                guarded.add(route.path)
                assert (none, wrong) == (401, 401), ask
            if method == "POST":  # an operator's: a token that lets a game play is not enough
                assert await asyncio.to_thread(status_of, *ask, "a" * 16) == 403, ask
    assert guarded == {"/metrics", "/stats", "/events", "/operate"}


async def test_what_was_learned_is_saved_at_the_end(serve, tmp_path):
    learns = {"learner": "dqn", "pace": {"mode": "free", "learn_start": 16}}
    learns |= {"checkpoint": {"every_seconds": None}, "dqn": {"batch": 4}}
    house = await serve(learns, data_dir=tmp_path / "data")
    peer = await house.peer()
    await peer.hello()
    learning, frame = house.server.registry.loaded["a"].learning, 0
    async with asyncio.timeout(30):
        while not learning.updates:
            await peer.step([MID if frame else FIRST] * 4)
            frame += 1
    house.server.stop()
    assert not house.server.ready
    await house.down()
    assert list_checkpoints(tmp_path / "data" / "agents" / "a" / "checkpoints")


async def test_the_clock_may_jump_by_a_day(serve, monkeypatch, tmp_path):
    """Sessions wait on, silence is not imagined, sockets stay; then a checkpoint is still there."""
    agent = agent_config_from_wire({"learner": "none"})
    config = ServerConfig(port=0, http_port=None, autocreate=True, agent=agent)
    house = await serve(config=config, data_dir=tmp_path / "data")
    player, waiting, admin = [await house.peer() for _ in range(3)]
    await player.hello()
    welcome = await waiting.hello(run=b"w" * 16)
    await waiting.step([FIRST])
    await waiting.close()
    await admin.hello("", role="admin")
    await admin.say(m.Save(agent="a"))
    saved = await admin.hear()
    await player.step([FIRST])
    real = time.time
    for jump in (DAY_S, -DAY_S):
        monkeypatch.setattr(time, "time", lambda jump=jump: real() + jump)
        await asyncio.sleep(0.6)  # deadlines are looked at four times a second
        assert isinstance(await player.step([MID]), m.ActReply)
    back = await house.peer()
    resumed = await back.hello(run=b"w" * 16, resume=welcome.session)
    assert (resumed.resumed, resumed.last_seq) == (True, 1)
    await admin.say(m.Info(agent="a"))
    assert (await admin.hear()).info["checkpoints"] == [saved.checkpoint]
    with contextlib.suppress(TimeoutError):  # nobody was asked whether he is still there
        async with asyncio.timeout(0.05):
            pytest.fail(f"heard {await player.hear()}")
