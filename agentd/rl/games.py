"""Games by name: ours, and Gymnasium's as ``gym:<id>`` or ``module:<id>``."""

import difflib
import importlib
import importlib.util
import logging
import os
import re
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agentd.client.game import FrameLike, VectorGame
from agentd.errors import AgentdError, JobFailed, MissingInput, UsageError
from agentd.extras import install_hint
from agentd.games import GAMES, make
from agentd.rl.blame import blamed, in_own_code, one_line
from agentd.rl.tasks import GameSource, Looks

if TYPE_CHECKING:
    from gymnasium import Env

    from agentd.client.gym import GymGame

GYM = "gym:"
MINATAR = "MinAtar/"
LONGEST = 10_000
"""Steps after which an evaluation cuts an episode off where the environment has no limit."""


def open_game(source: GameSource, streams: int, seed: int, *, bounded: bool = False) -> VectorGame:
    """``streams`` episodes of the game of ``source``, side by side.

    ``bounded`` gives an environment without a time limit one of ``LONGEST`` steps. Raises
    MissingInput for a game that does not exist here, UsageError for arguments that it does not
    take and for spaces that cannot be sent, JobFailed where its own code fails.
    """
    check_game(source)
    if source.name in GAMES:
        return make(source.name, streams, seed)
    return _open_gymnasium(source, streams, seed, bounded)


def check_game(source: GameSource) -> None:
    """Raise what ``open_game`` would raise for a name alone: no foreign code is run."""
    name = source.name
    if is_foreign(name):
        if importlib.util.find_spec("gymnasium") is None:
            hint = install_hint("gym")
            raise MissingInput(f"{name} needs Gymnasium, which is not installed", hint=hint)
        return
    if name not in GAMES:
        near = difflib.get_close_matches(name, GAMES, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(GAMES))}"
        if re.search(r"-v\d+$", name):
            raise MissingInput(f"no game {name!r}", hint=f"did you mean {GYM}{name}?")
        raise MissingInput(f"no game {name!r}", hint=f"{hint}; Gymnasium's are gym:<id>")
    if source.arguments or source.max_episode_steps is not None:
        raise UsageError(
            f"{name} takes no --env-arg and no --max-episode-steps",
            hint="they are for environments of Gymnasium, gym:<id>",
        )


def is_foreign(name: str) -> bool:
    """Whether ``name`` is that of a Gymnasium environment: ``gym:<id>`` or ``module:<id>``."""
    return ":" in name


def look(game: VectorGame) -> Looks:
    """Return what ``game`` looks like; its masks are known once it was reset."""
    observation = {
        name: (np.dtype(dtype).name, tuple(shape))
        for name, (dtype, shape) in game.spec.observation.items()
    }
    actions: Any = game.spec.actions
    if not isinstance(actions, int | Mapping):
        actions = tuple(actions)
    if isinstance(game, ForeignGame):
        return Looks(observation, actions, game.inner.masks_in, game.time_limit)
    spec: Any = game.spec
    return Looks(observation, actions, "of the game" if spec.masked else "", spec.max_steps)


class ForeignGame:
    """A Gymnasium environment as a game: what its own code raises is told as its own."""

    def __init__(self, name: str, inner: "GymGame", time_limit: int | None) -> None:
        self.name, self.inner, self.time_limit = name, inner, time_limit
        self.spec, self.streams = inner.spec, inner.streams

    def reset(self) -> FrameLike:
        """See ``VectorGame.reset``. Raises JobFailed."""
        with blamed(self.name, _misfit()):
            return self.inner.reset()

    def step(self, actions: NDArray[Any]) -> FrameLike:
        """See ``VectorGame.step``. Raises JobFailed."""
        with blamed(self.name, _misfit()):
            return self.inner.step(actions)

    def close(self) -> None:
        """Close the environment. Raises JobFailed."""
        with blamed(self.name):
            self.inner.close()


def close_game(game: VectorGame) -> None:
    """Close an environment; our own games hold nothing. Raises JobFailed."""
    if isinstance(game, ForeignGame):
        game.close()


def _misfit() -> type[Exception]:
    from agentd.client.gym_spaces import Misfit  # needs Gymnasium

    return Misfit


def _open_gymnasium(source: GameSource, streams: int, seed: int, bounded: bool) -> ForeignGame:
    import gymnasium

    from agentd.client.gym import GymGame
    from agentd.client.gym_checks import CheckedEnv

    name = _import_environment(source)
    known: Any = gymnasium.registry.get(name)
    limit = source.max_episode_steps or (None if known is None else known.max_episode_steps)
    options = dict(source.arguments)
    if source.max_episode_steps or (bounded and limit is None):
        options["max_episode_steps"] = limit = limit or LONGEST
    try:
        with blamed(source.name):
            if streams == 1:
                game = GymGame(CheckedEnv(gymnasium.make(name, **options)), seed)
            else:
                checked: Any = {"vectorization_mode": "sync", "wrappers": [CheckedEnv]}
                game = GymGame(gymnasium.make_vec(name, streams, **checked, **options), seed)
    except JobFailed as failure:
        raise _sorted_out(source, failure) from failure
    return ForeignGame(source.name, game, limit)


def make_environment(source: GameSource) -> "Env[Any, Any]":
    """One Gymnasium environment as it is, with no checks around it. Raises as ``open_game``."""
    import gymnasium

    check_game(source)
    name, options = _import_environment(source), dict(source.arguments)
    if source.max_episode_steps is not None:
        options["max_episode_steps"] = source.max_episode_steps
    try:
        with blamed(source.name):
            return gymnasium.make(name, disable_env_checker=True, **options)
    except JobFailed as failure:
        raise _sorted_out(source, failure) from failure


def _import_environment(source: GameSource) -> str:
    """Import what registers the environment; return its id. Raises MissingInput, JobFailed."""
    name = source.name.removeprefix(GYM)
    folder = os.getcwd()
    if not {folder, ""} & set(sys.path):
        sys.path.append(folder)  # behind all installed ones
    module, _, name = name.rpartition(":")
    if module:
        try:
            with blamed(source.name):
                importlib.import_module(module)
        except JobFailed as failure:
            cause = failure.__cause__
            missing = cause.name if isinstance(cause, ModuleNotFoundError) else None
            if missing is None or not f"{module}.".startswith(f"{missing}."):
                raise
            hint = "it is looked for among the installed ones and in the current folder"
            raise MissingInput(f"{source.name}: no module {missing!r}", hint=hint) from None
    if name.startswith(MINATAR):
        _register_minatar(name)
    return name


def _sorted_out(source: GameSource, failure: JobFailed) -> AgentdError:
    """What the failure to make an environment means: not there, wrong arguments, or its own."""
    import gymnasium

    from agentd.client.gym_spaces import CannotBeSent

    cause = failure.__cause__
    if isinstance(cause, gymnasium.error.Error):
        return MissingInput(f"{source.name}: {one_line(cause)}")
    if isinstance(cause, CannotBeSent):
        return UsageError(f"{source.name}: {one_line(cause)}")
    inner = cause.__cause__ if cause is not None and cause.__cause__ is not None else cause
    if isinstance(inner, TypeError) and not in_own_code(inner.__traceback__):
        hint = "--env-arg NAME=VALUE gives an environment its arguments"
        return UsageError(f"{source.name}: {one_line(inner)}", hint=hint)
    return failure


def _register_minatar(name: str) -> None:
    """Make MinAtar's games known to Gymnasium. Raises MissingInput where it is not installed."""
    if importlib.util.find_spec("minatar") is None:
        hint = install_hint("minatar")
        raise MissingInput(f"gym:{name} needs MinAtar, which is not installed", hint=hint)
    import gymnasium

    if any(known.startswith(MINATAR) for known in gymnasium.registry):
        return
    logging.disable(logging.WARNING)  # it warns that it could not draw in colours
    try:
        from minatar.gym import register_envs
    finally:
        logging.disable(logging.NOTSET)
    register_envs()
