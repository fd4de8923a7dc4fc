"""Games by name: ours, and Gymnasium's as ``gym:<id>``."""

import difflib
import importlib.util
import logging
import os
import sys

from agentd.client.rollout import VectorGame
from agentd.errors import MissingInput, UsageError
from agentd.extras import install_hint
from agentd.games import GAMES, make

GYM = "gym:"
MINATAR = "MinAtar/"


def open_game(name: str, streams: int, seed: int) -> VectorGame:
    """``streams`` episodes of the game ``name``, side by side.

    Raises MissingInput for a game that does not exist here.
    """
    if name in GAMES:
        return make(name, streams, seed)
    if name.startswith(GYM):
        return _open_gymnasium(name.removeprefix(GYM), streams, seed)
    near = difflib.get_close_matches(name, GAMES, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(GAMES))}"
    raise MissingInput(f"no game {name!r}", hint=f"{hint}; Gymnasium's are gym:<id>")


def check_game(name: str) -> None:
    """Raise what ``open_game`` would raise for ``name``: before a daemon is started for it."""
    game = open_game(name, 1, 0)
    close = getattr(game, "close", None)
    if close is not None:
        close()


def _open_gymnasium(name: str, streams: int, seed: int) -> VectorGame:
    if importlib.util.find_spec("gymnasium") is None:
        hint = install_hint("gym")
        raise MissingInput(f"gym:{name} needs Gymnasium, which is not installed", hint=hint)
    import gymnasium

    from agentd.client.gym import GymGame

    _find_modules_here()
    if name.startswith(MINATAR):
        _register_minatar(name)
    try:
        if streams == 1:
            return GymGame(gymnasium.make(name), seed)
        return GymGame(gymnasium.make_vec(name, streams, vectorization_mode="sync"), seed)
    except (gymnasium.error.Error, ModuleNotFoundError) as error:
        raise MissingInput(f"gym:{name}: {' '.join(str(error).split())}") from None
    except TypeError as error:  # spaces that cannot be sent
        raise UsageError(f"gym:{name}: {error}") from None


def _find_modules_here() -> None:
    """Let ``gym:module:Name`` name a module in the current folder, behind all installed ones."""
    folder = os.getcwd()
    if not {folder, ""} & set(sys.path):
        sys.path.append(folder)


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
