"""Playing a game against a server over TCP: ours by name, Gymnasium's as ``gym:<id>``."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from agentd.client import TERMINATED, Client, SessionLost
from agentd.client.settings import Role
from agentd.errors import MissingInput
from games import GAMES, Game, make

GYM = "gym:"


class Progress(NamedTuple):
    """After one frame: environment steps so far, and the (stream, return) of ended episodes."""

    steps: int
    ended: list[tuple[int, float]]


def open_game(name: str, streams: int, seed: int) -> Game:
    """``streams`` episodes of the game ``name``, side by side.

    Raises MissingInput for a game that does not exist here.
    """
    if name in GAMES:
        return make(name, streams, seed)
    near = difflib.get_close_matches(name, GAMES, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(GAMES))}"
    raise MissingInput(f"no game {name!r}", hint=f"{hint} Or gym:<id> for a Gymnasium environment")


def connect(address: tuple[str, int], agent: str, game: Game, role: Role) -> Client:
    """A client of ``agent`` that says what ``game`` looks like."""
    spec = game.spec
    return Client.connect(
        address, agent, spec.observation, spec.actions, role=role, streams=game.streams
    )


def play(client: Client, game: Game) -> Iterator[Progress]:
    """Play for ever, one frame at a time; whoever iterates says when it is enough."""
    frame = game.reset()
    returns = np.zeros(game.streams)
    actions = np.zeros(game.streams, np.int32)
    steps = 0
    while True:
        try:
            act = client.step(frame.obs, frame.reward, frame.kind, frame.stream, frame.mask)
        except SessionLost:  # the server knows these episodes no more
            returns[:] = 0.0
            frame = game.reset()
            continue
        acting = frame.kind < TERMINATED
        actions[frame.stream[acting]] = act.actions[acting]
        frame = game.step(actions)
        steps += game.streams
        own = frame.stream[: game.streams]
        returns[own] += frame.reward[: game.streams]
        ended = own[frame.kind[: game.streams] >= TERMINATED]
        yield Progress(steps, [(int(stream), float(returns[stream])) for stream in ended])
        returns[ended] = 0.0


def play_episodes(client: Client, game: Game, each: int) -> list[float]:
    """The returns of the first ``each`` episodes of every stream.

    The same number from each, so that short episodes do not crowd out long ones.
    """
    found: list[list[float]] = [[] for _ in range(game.streams)]
    for progress in play(client, game):
        for stream, value in progress.ended:
            if len(found[stream]) < each:
                found[stream].append(value)
        if progress.ended and all(len(own) == each for own in found):
            break
    return [value for own in found for value in own]
