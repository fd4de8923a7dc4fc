"""Whatever is missing or damaged in an agent's folder: the daemon serves, and nothing is silent."""

import asyncio
import itertools
import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from agentd.memory.weight_board import Publication, WeightBoard
from agentd.protocol import messages as m
from agentd.server.agents.life import FILES

FIRST, MID = 0, 1
LEARNS = {
    "learner": "dqn",
    "model": {"layers": [{"dense": 8}, "relu"]},
    "pace": {"mode": "free", "learn_start": 16},
    "replay": {"capacity": 64},
    "dqn": {"batch": 4},
    "exploration": {"start": 0.0, "end": 0.0},
}
REFUSALS = ["INTERNAL", "STORAGE_FAILED", "UNKNOWN_CHECKPOINT", "SCHEMA_MISMATCH", "BAD_CONFIG"]
OBS = np.random.default_rng(0).standard_normal((4, 4))


async def values(peer, agent: str) -> np.ndarray | m.Error:
    """What an agent answers, as numbers; the error where its hello is refused."""
    await peer.say(peer.hello_message(agent, "play", explain=True))
    welcome = await peer.hear()
    if isinstance(welcome, m.Error):
        return welcome
    answer = await peer.step([FIRST] * 4, OBS)
    assert isinstance(answer, m.ActReply), answer
    return np.frombuffer(answer.q, "<f4")


class Lived:
    """A data directory with an agent that has learned, and what it answered at each save."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.agent = folder / "agents" / "a"
        self.known: list[np.ndarray] = []
        self.first: np.ndarray | None = None

    def copy(self, to: Path) -> Path:
        shutil.copytree(self.folder, to)
        return to

    def knows(self, q: np.ndarray) -> bool:
        return any(np.allclose(q, known, atol=1e-6) for known in self.known)


_MADE: list[Lived] = []


@pytest.fixture
async def lived(serve, tmp_path_factory) -> Lived:
    """An agent with some checkpoints, a board, a ring and its lock, made once by a real learner."""
    if not _MADE:
        _MADE.append(await live(serve, tmp_path_factory.mktemp("lived")))
    return _MADE[0]


async def live(serve, tmp_path: Path) -> Lived:
    lived = Lived(tmp_path / "data")
    house = await serve(LEARNS, data_dir=lived.folder)
    player, admin, looker = [await house.peer() for _ in range(3)]
    lived.first = await values(looker, "first")  # as an agent is that nobody taught
    await player.hello()
    await player.step([FIRST] * 4, OBS)
    await admin.hello("", role="admin")
    agent = house.server.registry.loaded["a"]
    for updates in (3, 6):
        async with asyncio.timeout(60):
            while not agent.learning.handle.stats()["updates"] >= updates:
                await player.step([MID] * 4, OBS, np.ones(4))
        await admin.say(m.Save(agent="a"))
        assert isinstance(await admin.hear(30), m.Saved)
    await player.say(m.Goodbye(reason="client_done"))  # no session is left that needs a learner
    await player.hear()
    await house.down()
    house = await serve(LEARNS, data_dir=lived.folder)
    q = await values(await house.peer(), "a")
    assert isinstance(q, np.ndarray)
    lived.known.append(q)
    admin = await house.peer()
    await admin.hello("", role="admin")
    await admin.say(m.Info(agent="a"))
    checkpoints = (await admin.hear()).info["checkpoints"]
    await house.down()
    for name in checkpoints[1:]:  # what each older checkpoint answers
        older = lived.copy(tmp_path / name)
        shutil.rmtree(older / "agents" / "a" / "replay")
        for newer in itertools.takewhile(lambda n, name=name: n != name, checkpoints):
            shutil.rmtree(older / "agents" / "a" / "checkpoints" / newer)
        house = await serve(LEARNS, data_dir=older)
        found = await values(await house.peer(), "a")
        assert isinstance(found, np.ndarray)
        lived.known.append(found)
        await house.down()
    return lived


def files_of(agent: Path) -> list[Path]:
    return sorted(p.relative_to(agent) for p in agent.rglob("*") if p.is_file())


async def outcome(serve, lived: Lived, folder: Path, caplog) -> str:
    """How the agent is after the damage: on, degraded or refused. Fails on anything else."""
    caplog.clear()
    house = await serve(LEARNS, data_dir=folder)
    other = await values(await house.peer(), "b")
    assert isinstance(other, np.ndarray), other
    found = await values(await house.peer(), "a")
    assert not [record for record in caplog.records if record.exc_info], caplog.text
    if isinstance(found, m.Error):
        await house.down()
        assert found.message
        assert "\n" not in found.message
        assert found.code in REFUSALS
        return "refused"
    lost = house.server.stats.agents("a")["a"]["lost"]
    await house.down()
    if lived.knows(found):
        return "degraded" if lost else "on"
    assert lost, "it acts with other weights, and not a word"
    return "degraded"


def alter(path: Path, rng: random.Random) -> None:
    """Flip a bit of one byte, or cut the file there."""
    data = bytearray(path.read_bytes())
    if not data:
        return
    at = rng.randrange(min(len(data), 4096) if rng.random() < 0.7 else len(data))
    if rng.random() < 0.25:
        path.write_bytes(data[:at])
    else:
        data[at] ^= 1 << rng.randrange(8)
        path.write_bytes(data)


async def test_an_agent_survives_or_is_refused_whatever_is_missing(serve, lived, tmp_path, caplog):
    rng, names = random.Random(14), files_of(lived.agent)
    lone = [[name] for name in names]
    some = [rng.sample(names, rng.randrange(2, len(names))) for _ in range(6)]
    seen = set()
    for number, missing in enumerate([[], *lone, *some]):
        folder = lived.copy(tmp_path / f"missing{number}")
        for name in missing:
            (folder / "agents" / "a" / name).unlink()
        seen.add(await outcome(serve, lived, folder, caplog))
        shutil.rmtree(folder)
    assert seen == {"on", "degraded", "refused"}


async def test_an_agent_survives_or_is_refused_whatever_is_damaged(serve, lived, tmp_path, caplog):
    rng, names = random.Random(15), files_of(lived.agent)
    seen = set()
    for number in range(24):
        folder = lived.copy(tmp_path / f"damaged{number}")
        alter(folder / "agents" / "a" / names[number % len(names)], rng)
        seen.add(await outcome(serve, lived, folder, caplog))
        shutil.rmtree(folder)
    assert seen == {"on", "degraded", "refused"}


@pytest.mark.parametrize("name", [name for name in FILES if name != "teach.ring"])
@pytest.mark.parametrize("how", ["missing", "damaged"])
async def test_each_file_means_what_the_table_says(serve, lived, tmp_path, caplog, name, how):
    folder = lived.copy(tmp_path / "data")
    agent = folder / "agents" / "a"
    if name == "checkpoints":
        newest = max((agent / name).iterdir())
        if how == "missing":
            shutil.rmtree(agent / name)
        else:
            (newest / "weights.safetensors").write_bytes(b"")
    else:
        path = next(iter(agent.rglob(name)))
        path.unlink() if how == "missing" else path.write_bytes(path.read_bytes()[:50])

    found = await outcome(serve, lived, folder, caplog)

    assert found == {"ready": "on"}.get(said := getattr(FILES[name], how).value, said)


async def test_an_agent_that_was_refused_is_listed_and_may_be_deleted(serve, lived, tmp_path):
    folder = lived.copy(tmp_path / "data")
    (folder / "agents" / "a" / "config.yaml").unlink()
    house = await serve(LEARNS, data_dir=folder)
    admin = await house.peer()
    await admin.hello("", role="admin")
    await admin.say(m.Agents())
    assert [agent["agent"] for agent in (await admin.hear()).agents] == ["a", "first"]
    await admin.say(m.Create(agent="a", config=LEARNS))
    assert (await admin.hear()).code == "AGENT_EXISTS"
    await admin.say(m.Info(agent="a"))
    assert "config.yaml is missing" in (await admin.hear()).message
    await admin.say(m.Delete(agent="a"))
    assert isinstance(await admin.hear(), m.Deleted)
    await (await house.peer()).hello("a")


async def test_a_config_that_was_cut_into_valid_yaml_is_refused(serve, lived, tmp_path, caplog):
    folder = lived.copy(tmp_path / "data")
    path = folder / "agents" / "a" / "config.yaml"
    whole = path.read_bytes()
    header, body = whole.split(b"\n", 1)
    ends = [at for at in range(len(whole)) if whole[at - 1 : at] == b"\n"]  # after a whole line
    for cut in (0, 5, len(header), ends[0], ends[1], ends[len(ends) // 2], ends[-1]):
        path.write_bytes(whole[:cut])
        house = await serve(LEARNS, data_dir=folder)
        found = await values(await house.peer(), "a")
        assert isinstance(found, m.Error), whole[:cut]
        assert found.code == "INTERNAL"  # as for any damaged file
        assert "config.yaml" in found.message
        assert "was cut" in found.message
        await house.down()

    for good in (whole, body):  # as it was written, now and by older releases
        path.write_bytes(good)
        assert await outcome(serve, lived, folder, caplog) == "on"


async def test_exploration_goes_on_where_the_ring_was_lost(serve, lived, tmp_path):
    folder = lived.copy(tmp_path / "data")
    ring = folder / "agents" / "a" / "replay" / "rows.ring"
    ring.write_bytes(ring.read_bytes()[:9000])

    house = await serve(LEARNS, data_dir=folder)
    await (await house.peer()).hello()

    agent = house.server.registry.loaded["a"]
    assert agent.learning.env_steps > 16
    assert agent.learning.head == 0
    assert ring.with_name("rows.ring.damaged-1").stat().st_size == 9000


async def test_of_board_and_checkpoint_the_newer_goes_on(serve, lived, tmp_path):
    folder = lived.copy(tmp_path / "data")
    path = folder / "agents" / "a" / "replay" / "weights.board"
    n_params = 8 * 5 + 3 * 9
    board = WeightBoard.open(path, n_params, writable=True)
    assert board.newest is not None
    board.publish(np.ones(n_params, np.float32), Publication(0, 1))

    house = await serve(LEARNS, data_dir=folder)
    found = await values(await house.peer(), "a")

    assert isinstance(found, np.ndarray)
    assert lived.knows(found)
    assert house.server.registry.loaded["a"].actor.version > 1


async def test_a_deletion_that_was_cut_off_is_finished_at_the_next_start(serve, lived, tmp_path):
    folder = lived.copy(tmp_path / "data")
    (folder / "agents" / "a").rename(folder / "agents" / ".deleted-a")
    house = await serve(LEARNS, data_dir=folder)
    assert [agent["agent"] for agent in house.server.registry.list()] == ["first"]
    assert not (folder / "agents" / ".deleted-a").exists()


def test_a_changed_word_of_a_board_shows(tmp_path):
    path, weights = tmp_path / "weights.board", np.arange(5, dtype=np.float32)
    board = WeightBoard.open(path, 5, writable=True)
    board.publish(weights, Publication(3, 40))
    whole = path.read_bytes()
    assert not WeightBoard.open(path, 5).was_damaged
    for at in (1024 + 64 + 8, 1024 + 64 + 16, 2 * 4096 + 3, 8):  # due, version, a weight, identity
        data = bytearray(whole)
        data[at] ^= 4
        path.write_bytes(data)
        again = WeightBoard.open(path, 5)
        assert again.newest is None
    path.write_bytes(whole[:5000])
    again = WeightBoard.open(path, 5)
    assert (again.newest, again.was_damaged) == (None, True)


def test_the_guide_has_every_file_of_the_table():
    guide = (Path(__file__).parents[4] / "docs" / "GUIDE.md").read_text()
    assert all(f"{name}" in guide for name in FILES if name != "learner.lock")
