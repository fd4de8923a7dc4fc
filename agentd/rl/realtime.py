"""A game that runs in wall-clock time: frames fall due on a clock, and answers take effect late.

``play_realtime`` is `agentd.client.rollout.play` on such a clock. What a player would feel is
counted: an answer later than a frame is a frame too late, and the longest one is the longest
freeze. ``DelayedGame`` is a game whose client does not wait for answers: it plays them rows later.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.client.blocking import Client
from agentd.client.choices import ActionShape
from agentd.client.game import FrameLike, VectorGame
from agentd.client.rollout import Turn, play
from agentd.latency import Histogram
from agentd.protocol.rows import FIRST


@dataclass
class FrameTimes:
    """How long the answers of a game's frames took.

    frame_s   seconds between two frames
    frames    frames that were answered
    late      answers that took longer than a frame
    longest_s the longest answer
    """

    frame_s: float
    frames: int = 0
    late: int = 0
    longest_s: float = 0.0
    histogram: Histogram = field(default_factory=Histogram)

    def add(self, answer_s: float) -> None:
        """Count an answer that took so many seconds."""
        self.frames += 1
        self.late += answer_s > self.frame_s
        self.longest_s = max(self.longest_s, answer_s)
        self.histogram.add(answer_s)


class FrameClock:
    """Says when a frame is due.

    A frame that came too late moves the ones after it: a game does not run faster to make up for
    lost time.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._clock, self._sleep = clock, sleep
        self._due = clock()

    def wait(self, frame_s: float) -> None:
        """Sleep until ``frame_s`` seconds after the last frame was due; not at all once it is."""
        self._due += frame_s
        now = self._clock()
        if now < self._due:
            self._sleep(self._due - now)
        else:
            self._due = now


def play_realtime(
    client: Client,
    game: VectorGame,
    fps: float,
    times: FrameTimes,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Turn]:
    """Play without end, a frame every 1/``fps`` seconds; fill ``times``.

    Errors as `agentd.client.rollout.play`.
    """
    due = FrameClock(clock, sleep)
    for turn in play(client, game):
        times.add(turn.act_s)
        yield turn
        due.wait(1.0 / fps)


class DelayedGame:
    """``game`` with every answer played ``rows`` rows later than it was given.

    So plays a client that sends a frame before the answers to the frames before it have come, and
    so feels a pad that is slow. Until an episode's first answer is due, action 0 is played. Raises
    ValueError for a game with masks: what was legal then may not be legal now.
    """

    def __init__(self, game: VectorGame, rows: int) -> None:
        self.game, self.spec, self.streams = game, game.spec, game.streams
        shape = ActionShape.of(game.spec.actions)
        self._nothing = shape.first_legal(None, 1)[0]
        self._coming: NDArray[Any] = shape.blank(rows, self.streams)
        self._coming[:] = self._nothing

    def reset(self) -> FrameLike:
        """See ``VectorGame.reset``."""
        return self._begun(self.game.reset())

    def step(self, actions: NDArray[Any], /) -> FrameLike:
        """Take ``actions`` for later, and play those that are due."""
        coming = np.concatenate([self._coming, actions[np.newaxis]])
        self._coming = coming[1:]
        return self._begun(self.game.step(coming[0]))

    def _begun(self, frame: FrameLike) -> FrameLike:
        if frame.mask is not None:
            raise ValueError("a game with masks cannot be played late")
        self._coming[:, frame.stream[frame.kind == FIRST]] = self._nothing
        return frame
