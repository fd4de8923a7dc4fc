"""Every command in one table, and the help of the groups drawn from it.

Nothing heavy loads here: ``agentd --help`` imports no command, nor what commands need.
"""

import re
import shutil
import textwrap
from collections.abc import Iterator, Sequence
from typing import NamedTuple

LEAST, MOST = 50, 78  # columns of a help text


class Command(NamedTuple):
    """Where a command is, ``module:function`` in agentd.cli; its docstring's first sentence."""

    place: str
    help: str


GROUPS = {
    "": "A TCP daemon that gives any game a mind: it acts at once and learns while the game runs.",
    "agent": "Look after the agents of a running daemon.",
    "data": "Look at data sets, convert and check them.",
    "rl": "Q-learning on a game or a Gymnasium environment.",
    "chess": "From a lichess dump to a bot you can play.",
    "config": "Write, show and describe configurations.",
    "cluster": "More than one machine: a Ray cluster (extra ray).",
}
SECTIONS = {
    "Serve and watch": "serve demo top agent config cluster",
    "Learn": "rl train test calibrate predict new check data",
    "Weights": "export import",
    "Games and clients": "sdk check-client check-env replay chess",
    "This installation": "doctor devices version completion",
}
"""What agentd's own help lists together: commands and groups by their names."""
TABLE = """\
serve           daemon.serve:serve
    Run the daemon until SIGTERM or Ctrl-C; both save and end orderly.
demo            rl.demo:demo
    Watch an agent learn a game that runs at 60 frames a second and never waits.
top             daemon.top:top
    Show connections, rates, latencies, queues and learning of a running daemon until Ctrl-C.
train           supervised.train:train
    Train a network on data; Ctrl-C or `q` saves and ends, --resume goes on exactly there.
test            supervised.train:measure_run
    Measure a trained network: accuracy, confusion matrix, what doubt is worth, each output.
calibrate       supervised.doubt:calibrate_run
    Find a temperature and sets of classes on held-out rows; saved with the model.
predict         supervised.train:predict_rows
    Answer rows without labels: a class and its probabilities, or numbers, for each.
new             supervised.models:new
    Write a model file, from flags or by asking for what they leave open.
check           supervised.models:check
    Check a model file, a daemon's configuration or a preset: keys, values, shapes, memory.
export          weights.export:export
    Write a trained agent or network as a file: weights, or a policy that needs no daemon.
import          weights.load:load
    Make a new agent from the weights of a PyTorch or Stable-Baselines3 DQN.
sdk             sdk:sdk
    Write the client for a language into a folder; without a language, list what there is.
doctor          daemon.doctor:doctor
    Look at Python, NumPy, OpenCL, the data directory, ports and limits.
devices         daemon.doctor:devices
    List the devices that --device may name, or tune the kernels for them.
version         version:version
    Print the version of agentd and of the wire protocol and checkpoint format it writes.
completion      completion:completion
    Print a script that completes agentd's commands and options in a shell.
check-client    conformance.client:check
    Drive a client through every rule of the protocol, and tell which it breaks.
check-env       conformance.environment:check
    Play a Gymnasium environment at random, and tell what it does other than its spaces say.
replay          conformance.replay:replay
    Say a recorded session's frames again, and compare the answers.
agent list      daemon.agents:list_agents
    List the agents of a daemon: which are in memory, how they are, who plays them.
agent show      daemon.agents:show
    Show one agent: what its games look like, how it does, its checkpoints.
agent save      daemon.agents:save
    Write a checkpoint of an agent; it is on disk when this ends.
agent load      daemon.agents:load
    Send an agent back to one of its checkpoints; its rows stay.
agent freeze    daemon.agents:freeze
    Stop an agent's learning, over restarts too; it goes on acting.
agent explore   daemon.agents:explore
    Say how much an agent explores from now on, over restarts too.
agent reset     daemon.lineage:reset
    Begin an agent anew with the same configuration; what it knew is kept as a checkpoint.
agent copy      daemon.lineage:copy
    Make a new agent that knows what another one knows.
agent migrate   daemon.lineage:migrate
    Make a new agent of another schema whose network keeps what fits: a sensor or action more.
agent delete    daemon.lineage:delete
    Remove an agent with all that it has learned.
data info       supervised.data:info
    Tell what a data set holds: rows, shapes, targets, ranges.
data convert    supervised.data:convert
    Write a data set in another format; the file appears whole or not at all.
data verify     supervised.data:verify
    Read every row and check it; and the files against a SHA256SUMS beside them.
rl train        rl.train:train
    Train an agent with Q-learning, then play it greedily.
rl eval         rl.evaluate:evaluate
    Play an agent of a data directory greedily and print what it gets.
rl calibrate    rl.calibrate:calibrate_agent
    Find the level at which an agent wins a wanted share of its games against a rival.
rl compare      rl.compare:compare
    Compare agents, of ``rl train`` or of a daemon: learning curves and greedy returns.
chess prepare   chess.prepare:prepare
    Turn lichess dumps into shards of packed positions.
chess lessons   chess.lessons:lessons
    Make shards of best moves, to learn beside games: puzzles, and judged positions of games.
chess play      chess.play:play
    Play chess against the bot; `help` at its prompt tells the commands.
chess uci       chess.uci:uci
    Speak UCI on stdin and stdout: an engine for chess programs.
chess train     chess.train:train
    Train a chess model on prepared positions.
chess eval      chess.evaluate:evaluate
    Measure how well a model finds people's moves, and solves puzzles.
chess release   chess.release:release
    Write a run's best model as a file: half precision, recipe, data's checksum, figures.
chess match     chess.match:match
    Play a match: each opening twice, colours swapped.
chess calibrate chess.calibrate:calibrate_bot
    Find the level at which the bot wins a wanted share of the points against a rival.
config init     daemon.configure:init
    Write a configuration with every key, its default and what it means.
config show     daemon.configure:show
    Print every value that `serve` would run with, and where each came from.
config schema   daemon.configure:schema
    Print the JSON Schema of the configuration file, for editors.
cluster serve   cluster.serve:serve
    Run daemons on the nodes of a Ray cluster, with one learner for all, until Ctrl-C.
cluster status  cluster.status:status
    List the nodes of a Ray cluster: CPUs, memory, versions; fail where they differ from here.
"""
COMMANDS = {
    path: Command(place, text)
    for path, place, text in re.findall(r"^(\S.*?) +(\S+)\n +(.+)", TABLE, re.MULTILINE)
}


def members(group: str) -> Iterator[tuple[str, str]]:
    """Yield the name and the help of each command in ``group``, then of each group in it."""
    helps = {path: command.help for path, command in COMMANDS.items()} | GROUPS
    for path, text in helps.items():
        parent, _, name = path.rpartition(" ")
        if parent == group and name:
            yield name, text


def find_help(words: Sequence[str]) -> str | None:
    """Return the help that ``words`` ask for where it is a group's; None for all else."""
    *path, last = words or ("",)
    group = " ".join(path)
    asked = last in ("-h", "--help") and all(path) and group in GROUPS
    return help_text(group) if asked else None


def help_text(group: str) -> str:
    """Return the help of a group, as wide as the terminal."""
    width = max(LEAST, min(MOST, shutil.get_terminal_size().columns - 2))
    listed = dict(members(group))
    sections = {"Commands": " ".join(listed)} if group else SECTIONS
    margin = max(map(len, listed))
    lines = [f"Usage: {f'agentd {group}'.rstrip()} [OPTIONS] COMMAND [ARGS]...", ""]
    lines += textwrap.wrap(GROUPS[group], width, initial_indent="  ", subsequent_indent="  ")
    lines += ["", "Options:"]
    lines += [] if group else ["  --version   Print the version and exit."]
    lines.append("  -h, --help  Show this message and exit.")
    for title, names in sections.items():
        lines += ["", f"{title}:"]
        for name in names.split():
            lines.append(f"  {name:<{margin}}  {shorten(listed[name], width - 6 - margin)}")
    return "\n".join(lines)


def shorten(text: str, width: int) -> str:
    """Return ``text``, or as many of its words as fit into ``width`` with three dots behind."""
    if len(text) <= width:
        return text
    words = text.split()
    while words and len(" ".join(words)) + 3 > width:
        words.pop()
    return " ".join(words) + "..."
