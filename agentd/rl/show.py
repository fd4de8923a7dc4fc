"""A game that people watch while an agent learns it, and that a person may take over."""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from agentd.client.rollout import join, play
from agentd.client.takeover import Moment
from agentd.games.pictures import draw
from agentd.rl.realtime import FrameClock, FrameTimes
from agentd.rl.tasks import Report, Scene, Show, Steer

PICTURE_S = 1 / 12.5  # at least, between two pictures: every fifth frame at 60 a second
WAITING = 2  # actions of a person that wait for their turn

Send = Callable[[Report], None]
Hear = Callable[[], Steer | None]


class Hands:
    """A person who may play the only stream of a game: a ``take_over`` of ``rollout.play``."""

    def __init__(self, idle: int | None) -> None:
        """Begin with the agent; ``idle`` is the action while no key is pressed, None the last."""
        self.taken = False
        self.steps = 0  # that the person chose
        self._idle = idle
        self._asked: deque[int] = deque(maxlen=WAITING)
        self._last: int | None = None

    def steer(self, steer: Steer) -> None:
        """Take what the person did: who plays from now on, or an action."""
        if steer.taken is not None:
            self.taken = steer.taken
            self._asked.clear()
        if steer.action is not None and self.taken:
            self._asked.append(steer.action)

    def __call__(self, moment: Moment) -> int | None:
        """The action asked for next, else the idle one; None, for the agent's, if none is legal."""
        chosen = self._choose(moment) if self.taken else None
        self.steps += chosen is not None
        self._last = int(moment.action) if chosen is None else chosen
        return chosen

    def _choose(self, moment: Moment) -> int | None:
        idle = self._last if self._idle is None else self._idle
        asked = self._asked.popleft() if self._asked else idle
        for action in (asked, idle):
            if action is not None and (moment.mask is None or moment.mask[action]):
                return action
        return None


def show(task: Show, game: Any, stop: threading.Event, send: Send, hear: Hear) -> None:
    """Play ``task`` on ``game``, a game of ours, until ``stop`` is set; report with pictures."""
    times, hands, due = FrameTimes(1.0 / task.fps), Hands(task.idle), FrameClock()
    returns: list[float] = []
    with join((task.host, task.port), task.agent, game) as client:
        began = time.monotonic()
        drawn = began - PICTURE_S
        for turn in play(client, game, hands):
            times.add(turn.act_s)
            returns += [episode.total for episode in turn.ended]
            now, ending = time.monotonic(), stop.is_set()
            if ending or now - drawn >= PICTURE_S:  # in the gap between two frames
                scene = _scene(game, hands, times)
                send(Report(turn.steps, now - began, returns, scene=scene, done=ending))
                returns, drawn = [], now
            if ending:
                return
            while (steer := hear()) is not None:
                hands.steer(steer)
                times.frame_s = 1.0 / steer.fps if steer.fps else times.frame_s
            due.wait(times.frame_s)


def _scene(game: Any, hands: Hands, times: FrameTimes) -> Scene:
    return Scene(
        draw(game),
        hands.taken,
        hands.steps,
        times.frames,
        times.late,
        times.histogram.quantile(0.99),
        times.longest_s,
    )
