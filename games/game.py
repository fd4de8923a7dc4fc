"""What a game is here: several episodes side by side, arrays in, arrays out.

A game plays S streams, each of them an endless sequence of episodes. One call plays one action in
every stream and returns a frame of rows, a ``TimeStep``. A stream whose episode goes on has one
row in the frame. A stream whose episode ended has two: the row that closes the old episode (with
the final observation, so nothing is lost to the reset) and the row that opens the next one, so
that no call is spent on resetting.

In a game for several (``spec.seats``) the seats of one world are streams that follow each other;
they begin and end their episodes together.

Shape letters: S streams, N rows of one frame (S <= N <= 2S), A actions.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Observations = Mapping[str, NDArray[Any]]


class Kind(IntEnum):
    """Where a row stands in its episode."""

    FIRST = 0  # opens an episode; its reward means nothing
    MID = 1
    TERMINATED = 2  # the rules ended the episode: nothing is worth anything after it
    TRUNCATED = 3  # a limit cut the episode: the state still has a value


_MID, _TERMINATED, _TRUNCATED = int(Kind.MID), int(Kind.TERMINATED), int(Kind.TRUNCATED)
"""As plain numbers: an enum's comparison with an array costs more than a small array's."""


class ArraySpec(NamedTuple):
    """One named part of an observation: ``dtype`` in NumPy's words, ``shape`` of one row."""

    dtype: str
    shape: tuple[int, ...]


class Spec(NamedTuple):
    """What an agent must know before it meets the game."""

    name: str
    observation: Mapping[str, ArraySpec]
    actions: int  # how many there are
    max_steps: int  # no episode is longer than this many actions
    masked: bool  # every frame carries a mask of the legal actions
    seats: int = 1  # streams of one world: those with the same stream // seats


class TimeStep(NamedTuple):
    """The rows of one step, in the order in which an agent should see them.

    Rows 0..S-1 belong to the streams 0..S-1 when the frame came from ``step``; the rows that open
    the next episodes follow. The arrays are the caller's to keep.
    """

    stream: NDArray[np.uint32]  # (N,) which stream the row belongs to
    kind: NDArray[np.uint8]  # (N,) a Kind
    reward: NDArray[np.float32]  # (N,) for the action that led here
    obs: Observations  # name -> (N, *shape)
    mask: NDArray[np.uint8] | None  # (N, A), 1 = legal; None where every action always is


class Game(Protocol):
    """S streams of one game."""

    @property
    def spec(self) -> Spec: ...

    @property
    def streams(self) -> int: ...

    def reset(self, streams: NDArray[np.integer[Any]] | None = None) -> TimeStep:
        """Begin a new episode in each of ``streams`` (all of them by default).

        Episodes under way there are forgotten. The frame holds one ``FIRST`` row a stream, in the
        order asked for; where a world has several seats, those of all its streams, world by world.
        Raises ValueError for a stream the game does not have.
        """

    def step(self, actions: NDArray[np.integer[Any]]) -> TimeStep:
        """Play ``actions`` (S,), one in every stream.

        Raises ValueError when their shape is not (S,), or when one is out of range or illegal; the
        game then stands where it stood.
        """

    def render(self, stream: int = 0) -> str:
        """Draw where ``stream`` stands, as lines of text."""


def first_rows(streams: NDArray[np.integer[Any]], obs: Observations) -> TimeStep:
    """Return the rows that open an episode in each of ``streams`` (N,)."""
    n = len(streams)
    return TimeStep(
        stream=streams.astype(np.uint32),
        kind=np.zeros(n, np.uint8),
        reward=np.zeros(n, np.float32),
        obs=obs,
        mask=None,
    )


def outcome(terminated: NDArray[np.bool_], truncated: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return the kind (S,) of each row after a step; an end by the rules beats a limit."""
    kind = np.full(terminated.shape, _MID, np.uint8)
    kind[truncated] = _TRUNCATED
    kind[terminated] = _TERMINATED
    return kind


def with_resets(game: Game, frame: TimeStep) -> TimeStep:
    """Reset the streams that ended in ``frame`` and append the rows that open their next episode.

    ``frame`` holds one row for each stream, in order.
    """
    if max(frame.kind.tobytes()) < _TERMINATED:  # as nearly always
        return frame
    ended = np.flatnonzero(frame.kind >= _TERMINATED)
    return join_frames(frame, game.reset(ended))


def join_frames(one: TimeStep, two: TimeStep) -> TimeStep:
    """Return the rows of ``one`` and then those of ``two``."""
    mask = None
    if one.mask is not None and two.mask is not None:
        mask = np.concatenate((one.mask, two.mask))
    return TimeStep(
        stream=np.concatenate((one.stream, two.stream)),
        kind=np.concatenate((one.kind, two.kind)),
        reward=np.concatenate((one.reward, two.reward)),
        obs={name: np.concatenate((rows, two.obs[name])) for name, rows in one.obs.items()},
        mask=mask,
    )


def check_actions(actions: NDArray[np.integer[Any]], streams: int, n_actions: int) -> None:
    """Raise ValueError unless ``actions`` is (S,) and every one is in [0, ``n_actions``)."""
    if actions.shape != (streams,):
        raise ValueError(f"want actions of shape ({streams},), got {actions.shape}")
    if streams == 1 and 0 <= actions.item() < n_actions:  # as NumPy's calls cost ten times more
        return
    # One comparison for both ends: seen as unsigned, a negative action is a huge one.
    if (actions.astype(np.uint64) >= n_actions).any():
        wrong = int(np.flatnonzero(actions.astype(np.uint64) >= n_actions)[0])
        raise ValueError(
            f"want actions in 0..{n_actions - 1}, got {int(actions[wrong])} in stream {wrong}"
        )


def check_streams(streams: NDArray[np.integer[Any]], n: int) -> None:
    """Raise ValueError unless every one of ``streams`` is in [0, ``n``), each named once."""
    if streams.ndim != 1 or (streams.astype(np.uint64) >= n).any():
        raise ValueError(f"want streams in 0..{n - 1}, got {streams.tolist()}")
    if len(np.unique(streams)) != len(streams):
        raise ValueError(f"want each stream once, got {streams.tolist()}")
