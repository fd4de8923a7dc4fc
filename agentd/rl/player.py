"""A game process: the one place where games run, foreign ones too. ``python -m agentd.rl`` is one.

It takes tasks from stdin and reports to stdout, one JSON object a line (``agentd.rl.tasks``), and
ends with its stdin. What a game prints goes to stderr, and nowhere else.
"""

import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from agentd.children import private_channel
from agentd.client.game import VectorGame
from agentd.client.rollout import evaluate, join, play
from agentd.client.settings import ConnectOptions
from agentd.errors import AgentdError, ExitCode
from agentd.games.negamax import Guarded, is_simulated
from agentd.protocol.messages import MAX_LEVEL
from agentd.rl.blame import one_line
from agentd.rl.games import close_game, look, open_game
from agentd.rl.show import Hear, Send, show
from agentd.rl.tasks import Evaluate, Fault, GameSource, Look, Play, Report, Show, Steer, Task

REPORT_S = 0.1
STOP_S = 3.0  # a game that holds on for longer after the end of stdin is left behind
RETRY_S = 2.0  # a daemon of our own that stays away for longer has failed
MAX_STREAMS = 32  # of an evaluation


def main() -> int:
    """Do the tasks that come, until stdin ends; return the process's exit code."""
    commands, answers = private_channel()
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(line_buffering=True)  # to be read while it plays
    tasks: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    stop = threading.Event()
    threading.Thread(target=_receive, args=(commands, tasks, stop), daemon=True).start()

    def send(report: Report) -> None:
        data = msgspec.json.encode(report) + b"\n"
        while data:
            data = data[os.write(answers, data) :]

    def hear() -> Steer | None:
        if tasks.empty():
            return None
        line = tasks.get()
        if not line:
            tasks.put(line)  # the end is for the loop
        return msgspec.json.decode(line, type=Steer) if line else None

    while line := tasks.get():
        try:
            run_task(msgspec.json.decode(line, type=Task), stop, send, hear)
        except BrokenPipeError:
            return ExitCode.FAILED  # nobody is left to tell
        except (Exception, SystemExit) as error:
            if stop.is_set():
                return ExitCode.FAILED
            send(Report(fault=_fault(error), done=True))
    return ExitCode.OK


def run_task(task: Task, stop: threading.Event, send: Send, hear: Hear) -> None:
    """Do ``task``; its last report is ``done``. Once ``stop`` is set it ends early.

    ``hear`` returns what a person did meanwhile, None for nothing.
    """
    match task:
        case Look():
            with _opened(task.game, 1, 0) as game:
                game.reset()
                send(Report(looks=look(game), done=True))
        case Play():
            _play(task, stop, send)
        case Evaluate():
            _evaluate(task, stop, send)
        case Show():
            with _opened(task.game, 1, task.seed) as game:
                show(task, game, stop, send, hear)


def _play(task: Play, stop: threading.Event, send: Send) -> None:
    """Play until the steps are done, reporting now and then."""
    returns: list[float] = []
    steps, elapsed_s = 0, 0.0
    with (
        _opened(task.game, task.streams, task.seed) as game,
        join((task.host, task.port), task.agent, game) as client,
    ):
        began = reported = time.monotonic()
        for turn in play(client, game):
            steps = turn.steps
            returns += [episode.total for episode in turn.ended]
            now = time.monotonic()
            elapsed_s = now - began
            if steps >= task.steps or stop.is_set():
                break
            if now - reported >= REPORT_S:
                send(Report(steps, elapsed_s, returns))
                returns, reported = [], now
        send(Report(steps, elapsed_s, returns, done=True))


def _evaluate(task: Evaluate, stop: threading.Event, send: Send) -> None:
    """Play with role eval; nothing of it is learned."""
    end = float("inf") if task.within_s is None else time.monotonic() + task.within_s
    streams = min(task.episodes, MAX_STREAMS)
    options: ConnectOptions = {"role": "eval", "retry_for": RETRY_S}
    if task.level is not None:
        options |= {"level": task.level, "run": task.seed.to_bytes(8, "little") + os.urandom(8)}
    with (
        _opened(task.game, streams, task.seed, bounded=True) as opened,
        join((task.host, task.port), task.agent, opened, **options) as client,
    ):
        weaker = task.level is not None and task.level < MAX_LEVEL
        game = Guarded(opened) if weaker and is_simulated(opened) else opened
        found = evaluate(
            client, game, task.episodes, lambda: stop.is_set() or time.monotonic() >= end
        )
        limit = look(opened).time_limit
        cut = [one for one in found.episodes if one.truncated and one.length == limit]
        send(Report(returns=found.totals.tolist(), cut_off=len(cut), done=True))


@contextmanager
def _opened(
    source: GameSource, streams: int, seed: int, *, bounded: bool = False
) -> Iterator[VectorGame]:
    game = open_game(source, streams, seed, bounded=bounded)
    yield game
    close_game(game)


def _fault(error: BaseException) -> Fault:
    trace = "".join(traceback.format_exception(error))
    if isinstance(error, AgentdError):
        return Fault(error.message, error.exit_code, error.hint, trace)
    text = f"a game client failed: {type(error).__name__}: {one_line(error)}"
    return Fault(text, ExitCode.FAILED, None, trace)


def _receive(commands: int, tasks: "queue.SimpleQueue[bytes]", stop: threading.Event) -> None:
    """Hand on the lines of ``commands``, b"" for their end; then see that the process goes."""
    with open(commands, "rb") as lines:
        for line in lines:
            tasks.put(line)
    stop.set()
    tasks.put(b"")
    time.sleep(STOP_S)
    os._exit(ExitCode.FAILED)
