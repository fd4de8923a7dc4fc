"""A game that runs in wall-clock time: frames fall due on a clock, whoever is ready or not.

``play_realtime`` is `agentd.client.rollout.play` on such a clock. What a player would feel is
counted: an answer later than a frame is a frame too late, and the longest one is the longest
freeze.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from agentd.client.blocking import Client
from agentd.client.game import VectorGame
from agentd.client.rollout import Turn, play
from agentd.latency import Histogram


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
