"""A game that people watch while an agent learns it, and that a person may take over."""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentd.client.rollout import FrameLike, VectorGame, join, play
from agentd.games.pictures import draw
from agentd.rl.realtime import FrameClock, FrameTimes
from agentd.rl.tasks import Report, Scene, Show, Steer

PICTURE_S = 1 / 16  # at least, between two pictures
WAITING = 2  # actions of a person that wait for their turn
AGENT, PERSON = 0, 1  # R15

Send = Callable[[Report], None]
Hear = Callable[[], Steer | None]


class TakenFrame(NamedTuple):
    """The rows of a game step, and the action that led to each of them (R15)."""

    stream: NDArray[np.uint32]  # (N,)
    kind: NDArray[np.uint8]  # (N,)
    reward: NDArray[np.float32]  # (N,)
    obs: Mapping[str, NDArray[Any]]  # name -> (N, *shape)
    mask: NDArray[np.uint8] | None  # (N, A)
    taken: NDArray[np.int32] | None = None  # (N,); None where the agent's action was played
    by: NDArray[np.uint8] | None = None  # (N,)


class Handover:
    """A game of one stream whose actions are the agent's, or a person's while that one plays."""

    def __init__(self, game: VectorGame, idle: int | None) -> None:
        """Begin with the agent; ``idle`` is the person's action while no key is pressed."""
        self.inner, self.spec, self.streams = game, game.spec, game.streams
        self.taken = False
        self.taken_steps = 0
        self._idle = idle
        self._asked: deque[int] = deque(maxlen=WAITING)
        self._last: int | None = None
        self._mask: NDArray[np.uint8] | None = None

    def steer(self, steer: Steer) -> None:
        """Take what the person did: who plays from now on, or an action."""
        if steer.taken is not None:
            self.taken = steer.taken
            self._asked.clear()
        if steer.action is not None and self.taken:
            self._asked.append(steer.action)

    def reset(self) -> FrameLike:
        """See ``VectorGame.reset``."""
        self._last = None
        return self._noted(self.inner.reset())

    def step(self, actions: NDArray[np.int32], /) -> FrameLike:
        """See ``VectorGame.step``."""
        chosen = self._choose() if self.taken else None
        action = int(actions[0]) if chosen is None else chosen
        frame = self._noted(self.inner.step(np.array([action], np.int32)))
        self._last = action if len(frame.kind) == 1 else None  # a new episode begins with none
        if chosen is None:
            return frame
        self.taken_steps += 1
        n = len(frame.kind)
        taken, by = np.full(n, action, np.int32), np.full(n, PERSON, np.uint8)
        return TakenFrame(frame.stream, frame.kind, frame.reward, frame.obs, frame.mask, taken, by)

    def _noted(self, frame: FrameLike) -> FrameLike:
        self._mask = frame.mask
        return frame

    def _choose(self) -> int | None:
        """The person's action: the next one asked for, else the idle one; None for no legal one."""
        idle = self._last if self._idle is None else self._idle
        asked = self._asked.popleft() if self._asked else idle
        for action in (asked, idle):
            if action is not None and (self._mask is None or self._mask[-1, action]):
                return action
        return None


def show(task: Show, game: Any, stop: threading.Event, send: Send, hear: Hear) -> None:
    """Play ``task`` on ``game``, a game of ours, until ``stop`` is set; report with pictures."""
    times = FrameTimes(1.0 / task.fps)
    shared = Handover(game, task.idle)
    returns: list[float] = []
    with join((task.host, task.port), task.agent, shared) as client:
        began = time.monotonic()
        drawn = began - PICTURE_S
        due = FrameClock()
        for turn in play(client, shared):
            times.add(turn.act_s)
            returns += [episode.total for episode in turn.ended]
            now, ending = time.monotonic(), stop.is_set()
            if ending or now - drawn >= PICTURE_S:  # in the gap between two frames
                scene = Scene(
                    draw(game),
                    shared.taken,
                    shared.taken_steps,
                    times.frames,
                    times.late,
                    times.histogram.quantile(0.99),
                    times.longest_s,
                )
                send(Report(turn.steps, now - began, returns, scene=scene, done=ending))
                returns, drawn = [], now
            if ending:
                return
            while (steer := hear()) is not None:
                shared.steer(steer)
                times.frame_s = 1.0 / steer.fps if steer.fps else times.frame_s
            due.wait(times.frame_s)
