"""``agentd chess play``: a game in the terminal, against a local model or an agent of a daemon."""

import logging
import os
import random
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import chess
import typer
from rich.console import Console

from agentd.chess.play.opponents import Policy, daemon_policy, local_policy
from agentd.cli.chess.options import Model
from agentd.cli.chess.table import Ask, Table
from agentd.cli.screen.options import Level, Screen
from agentd.cli.screen.terminal import Terminal
from agentd.client import Address
from agentd.config.resolve import default_data_dir
from agentd.errors import MissingInput, StorageError, Unavailable, UsageError
from agentd.games.chess.play.notation import NotPlayable, read_pgn, read_position

COLORS = ("white", "black", "random")

Connect = Annotated[
    str | None, typer.Option(metavar="HOST:PORT", help="Play a daemon's agent.", show_default=False)
]
Rating = Annotated[
    int | None,
    typer.Option(min=600, max=3000, help="Imitate players of this rating.", show_default=False),
]
Nodes = Annotated[
    int | None, typer.Option(min=1, max=10**6, help="Positions a move; 1: no search.")
]
Depth = Annotated[
    int | None, typer.Option(min=1, max=100, help="Plies looked ahead.", show_default=False)
]
Seconds = Annotated[
    float | None, typer.Option(min=0.01, max=3600, help="Time a move.", show_default="1")
]
Temperature = Annotated[
    float | None,
    typer.Option(min=0.0, max=5.0, help="0: the best move; above: varied.", show_default=False),
]
Seed = Annotated[int | None, typer.Option(min=0, help="Repeats a game.", show_default=False)]
Fen = Annotated[str | None, typer.Option(help="Begin there.", show_default=False)]
Load = Annotated[Path | None, typer.Option(help="Go on with this PGN game.", show_default=False)]
Save = Annotated[Path | None, typer.Option(help="Keep the game there.", show_default=False)]
Plain = Annotated[bool, typer.Option("--ascii", help="Letters instead of chess symbols.")]
Learn = Annotated[bool, typer.Option("--learn", help="The daemon learns from these games.")]


def play(
    screen: Screen,
    color: Annotated[str, typer.Option(help="Your colour: white, black or random.")] = "white",
    model: Model = None,
    rating: Rating = None,
    nodes: Nodes = None,
    depth: Depth = None,
    seconds: Seconds = None,
    temperature: Temperature = None,
    level: Level = None,
    seed: Seed = None,
    connect: Connect = None,
    agent: Annotated[str, typer.Option(help="The daemon's agent.")] = "chess",
    learn: Learn = False,
    fen: Fen = None,
    load: Load = None,
    save: Save = None,
    plain: Plain = False,
    flip: Annotated[bool | None, typer.Option("--flip/--no-flip", help="Black below.")] = None,
) -> None:
    """Play chess against the bot; `help` at its prompt tells the commands."""
    if color not in COLORS:
        raise UsageError(f"no colour {color!r}", hint=f"use one of {', '.join(COLORS)}")
    if learn and connect is None:
        raise UsageError("--learn needs --connect HOST:PORT: it is a daemon that learns")
    if learn and level is not None:
        raise UsageError("--learn and --level exclude each other: who learns plays to win")
    board = _opening(fen, load)
    if save is not None:
        save = save.expanduser()
        _check_target(save, load)
    human = color == "white" if color != "random" else bool(random.Random(seed).getrandbits(1))
    if connect is not None:
        policy: Policy = _of_daemon(connect, agent, learn, level)
    else:
        policy = local_policy(model, rating, nodes, depth, seconds, temperature, seed, level)
    console = Console(file=screen.out, highlight=False, soft_wrap=True)
    table = Table(policy, _asker(screen), console.print, human, board)
    table.flip = flip if flip is not None else not human
    table.ascii_only = plain or not _shows_symbols(screen)
    kept = default_data_dir(os.environ) / "chess" / time.strftime("%Y-%m-%d_%H%M%S.pgn")
    table.save_to, table.spare = (kept, None) if save is None else (save, kept)
    names = ("You", policy.name) if human else (policy.name, "You")
    table.tags = {"Event": "agentd chess play", "Date": time.strftime("%Y.%m.%d")}
    table.tags |= {"White": names[0], "Black": names[1]}
    side = "White" if human else "Black"
    console.print(f"You have {side} against {policy.name}: type a move (e4, Nf3, O-O) or `help`.")
    try:
        table.play()
    finally:
        policy.close()
        if table.save_to is not None and table.save_to.exists():
            screen.note(f"the game is kept in {table.save_to}")
    if table.fault is not None:
        raise table.fault


def _check_target(save: Path, load: Path | None) -> None:
    """Raise UsageError or StorageError where the games cannot go, before any move is made."""
    goes_on = load is not None and save.exists() and save.samefile(load.expanduser())
    if save.exists() and not goes_on:
        raise UsageError(f"--save {save}: it is there already", hint="give another name")
    if goes_on and save.read_bytes().count(b"[Event ") > 1:
        raise UsageError(f"--save {save}: it holds several games", hint="give another name")
    above = next(each for each in (save.absolute(), *save.absolute().parents) if each.exists())
    if not os.access(above, os.W_OK) or not (goes_on or above.is_dir()):
        raise StorageError(f"--save {save}: nothing can be written there")


def _opening(fen: str | None, load: Path | None) -> chess.Board:
    """The board to begin with. Raises UsageError for a wrong FEN or PGN, with the reason."""
    if fen is not None and load is not None:
        raise UsageError("--fen and --load exclude each other")
    try:
        if fen is not None:
            return read_position(fen)
        if load is not None:
            load = load.expanduser()
            if not load.is_file():
                raise MissingInput(f"no game {load}")
            return read_pgn(load.read_bytes().decode("utf-8", "replace"))
    except NotPlayable as reason:
        raise UsageError(f"{load or '--fen'}: {reason}") from None
    return chess.Board()


def _of_daemon(address: str, agent: str, learn: bool, level: float | None) -> Policy:
    try:
        where = Address.parse(address)
    except ValueError as error:
        raise Unavailable(f"--connect: {error}") from None
    policy = daemon_policy(where, agent, learn, level)
    logging.getLogger("agentd.client").setLevel(logging.INFO)  # says when it waits for the daemon
    return policy


def _asker(screen: Terminal) -> Ask:
    """Asks on the terminal, with line editing and history where stdin is one."""
    if sys.stdin.isatty():
        with suppress(ImportError):
            import readline  # noqa: F401  (``input`` uses it from here on)

    def ask(prompt: str) -> str | None:
        try:
            return input(prompt)
        except EOFError:
            screen.say()
            return None
        except UnicodeDecodeError:
            return "\ufffd"

    return ask


def _shows_symbols(screen: Terminal) -> bool:
    """Whether the terminal's encoding has chess symbols."""
    try:
        "♔".encode(getattr(screen.out, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
