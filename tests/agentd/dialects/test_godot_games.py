"""Games of Godot RL Agents against a real daemon: played, broken off, refused."""

from __future__ import annotations


async def test_two_agents_ten_episodes(arena, corridor) -> None:
    house = await arena()
    game = await house.game()

    assert await game.join() == {"type": "reset"}
    await game.play([corridor(), corridor()], episodes=10)

    stats = house.stats()
    assert stats["clients"] == {"godot-rl 0.7": 1}
    assert stats["success_rate"] is not None
    assert stats["refused_frames"] == 0


async def test_a_game_of_version_0_3(arena, corridor) -> None:
    house = await arena()
    game = await house.game()

    assert await game.join(newer=False) == {"type": "reset"}
    await game.play([corridor(), corridor()], episodes=2, info=False)

    assert house.stats()["clients"] == {"godot-rl 0.3": 1}
