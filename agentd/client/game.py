"""What a game is for ``play`` and ``evaluate``: S streams side by side that hand out frames.

Shape letters: S streams, N rows of a frame (S <= N <= 2S), A actions of all branches.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from agentd.client.choices import Actions
from agentd.client.played import StepFacts


class GameFrame(NamedTuple):
    """The rows of one step of a game, as R5 wants them; no stream twice but by ended and first."""

    stream: NDArray[np.uint32]  # (N,)
    kind: NDArray[np.uint8]  # (N,)
    reward: NDArray[np.float32]  # (N,)
    obs: Mapping[str, NDArray[Any]]  # name -> (N, *shape)
    mask: NDArray[np.uint8] | None  # (N, A)
    facts: StepFacts | None = None  # what was really played, won, and how long it took


class FrameLike(Protocol):
    """Anything with the fields of ``GameFrame``; ``facts`` may be missing."""

    @property
    def stream(self) -> NDArray[np.uint32]: ...
    @property
    def kind(self) -> NDArray[np.uint8]: ...
    @property
    def reward(self) -> NDArray[np.float32]: ...
    @property
    def obs(self) -> Mapping[str, NDArray[Any]]: ...
    @property
    def mask(self) -> NDArray[np.uint8] | None: ...


class GameSpec(Protocol):
    """What a game looks like: (dtype, shape) of each tensor, and its actions."""

    @property
    def observation(self) -> Mapping[str, tuple[Any, Sequence[int]]]: ...
    @property
    def actions(self) -> Actions: ...


class VectorGame(Protocol):
    """S streams of one game; every game of the package ``games`` is one, and so is ``GymGame``."""

    @property
    def spec(self) -> GameSpec: ...
    @property
    def streams(self) -> int: ...

    def reset(self) -> FrameLike:
        """Begin anew in every stream."""

    def step(self, actions: NDArray[Any], /) -> FrameLike:
        """Play (S,) or (S, branches or heads) actions; a stream without an episode may get any."""
