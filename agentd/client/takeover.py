"""A person or a script in the agent's seat: plays some rows and hands back (R15).

Shape letters: S streams, N rows of a frame, A actions of all branches.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentd.client.choices import ActionShape
from agentd.client.game import FrameLike, VectorGame
from agentd.client.played import WHO, StepFacts
from agentd.protocol.rows import FIRST, TERMINATED


class Moment(NamedTuple):
    """One row that waits for its action, as whoever may take over sees it."""

    stream: int
    obs: Mapping[str, NDArray[Any]]  # name -> (*shape)
    mask: NDArray[np.uint8] | None  # (A,), 1 = legal
    action: NDArray[Any]  # the agent's, as ``Act.actions`` has a row


TakeOver: TypeAlias = Callable[[Moment], ArrayLike | None]
"""Returns the action to play instead of the agent's, or None to leave it to the agent."""


class PlayerSeat:
    """Asks ``take_over`` about every row, and keeps what the server must hear with the next."""

    def __init__(self, game: VectorGame, take_over: TakeOver, by: str) -> None:
        """Raises ValueError unless ``by`` is "person" or "script"."""
        if by not in WHO[1:]:
            raise ValueError(f"by: want {' or '.join(WHO[1:])}, got {by!r}")
        self._take_over, self._number = take_over, WHO.index(by)
        self._shape = ActionShape.of(game.spec.actions)
        self._by = np.zeros(game.streams, np.uint8)  # who chose each stream's last action

    def facts(self, frame: FrameLike, actions: NDArray[Any]) -> StepFacts:
        """Return what to say of ``frame``, which the played ``actions`` (S, ...) led to."""
        by = np.where(frame.kind == FIRST, 0, self._by[frame.stream])
        if not by.any():
            return {}
        taken = actions[frame.stream]
        taken[frame.kind == FIRST] = 0
        return {"taken": taken, "by": by}

    def choose(self, frame: FrameLike, actions: NDArray[Any]) -> None:
        """Put what the player chose over the agent's ``actions`` (S, ...), in place.

        Raises ValueError for an action that the game does not have or the mask forbids.
        """
        for row in np.flatnonzero(frame.kind < TERMINATED).tolist():
            stream = int(frame.stream[row])
            mask = None if frame.mask is None else frame.mask[row]
            obs = {name: part[row] for name, part in frame.obs.items()}
            chosen = self._take_over(Moment(stream, obs, mask, np.array(actions[stream])))
            self._by[stream] = 0 if chosen is None else self._number
            if chosen is not None:
                try:
                    actions[stream] = self._shape.checked(chosen, mask)
                except ValueError as fault:
                    raise ValueError(f"take_over: stream {stream}: {fault}") from None
