"""A damaged checkpoint falls back to the one before; with none left nothing acts at random."""

import numpy as np

from agentd.protocol import messages as m

FIRST = 0


def damage(path) -> None:
    data = bytearray((path / "weights.safetensors").read_bytes())
    data[-3] ^= 1
    (path / "weights.safetensors").write_bytes(data)


async def saved_twice(serve, data_dir) -> list:
    """An agent with two checkpoints, its daemon ended; the checkpoints' folders, oldest first."""
    house = await serve({"learner": "none", "seed": 5}, data_dir=data_dir)
    peer = await house.peer()
    await peer.hello(role="play", explain=True)
    for _ in range(2):
        await peer.say(m.Save(agent="a"))
        assert isinstance(await peer.hear(), m.Saved)
    await house.down()
    return sorted((data_dir / "agents" / "a" / "checkpoints").iterdir())


async def test_the_previous_checkpoint_is_used(serve, tmp_path):
    _, newer = await saved_twice(serve, tmp_path / "data")
    damage(newer)

    peer = await (await serve({"learner": "none"}, data_dir=tmp_path / "data")).peer()
    await peer.hello(role="play", explain=True)
    answer = await peer.step([FIRST], np.ones((1, 4)))

    assert isinstance(answer, m.ActReply)


async def test_with_none_left_the_agent_is_refused(serve, tmp_path):
    for path in await saved_twice(serve, tmp_path / "data"):
        damage(path)

    peer = await (await serve({"learner": "none"}, data_dir=tmp_path / "data")).peer()
    await peer.say(peer.hello_message(role="play"))
    error = await peer.hear()

    assert (error.code, error.fatal) == ("UNKNOWN_CHECKPOINT", True)
