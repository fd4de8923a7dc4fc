"""The tree of verbs. Each verb is a function of its own module; this file only hangs them up."""

from __future__ import annotations

import typer

from agentd.cli import version
from agentd.cli.chess import evaluate as chess_evaluate
from agentd.cli.chess import lessons, match, prepare, uci
from agentd.cli.chess import play as chess_play
from agentd.cli.chess import release as chess_release
from agentd.cli.chess import train as chess_train
from agentd.cli.daemon import configure, doctor, serve, top
from agentd.cli.rl import compare, demo, evaluate, train
from agentd.cli.supervised import data as datasets
from agentd.cli.supervised import models
from agentd.cli.supervised import train as supervised

app = typer.Typer(
    help="A TCP daemon that gives any game a mind: it acts at once and learns while the game runs.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
rl = typer.Typer(help="Q-learning on a game or a Gymnasium environment.", no_args_is_help=True)
data = typer.Typer(help="Look at data sets, convert and check them.", no_args_is_help=True)
chess = typer.Typer(help="From a lichess dump to a bot you can play.", no_args_is_help=True)
config = typer.Typer(help="Write, show and describe configurations.", no_args_is_help=True)

app.command("serve")(serve.serve)
app.command("demo")(demo.demo)
app.command("top")(top.top)
app.command("train")(supervised.train)
app.command("test")(supervised.measure_run)
app.command("new")(models.new)
app.command("check")(models.check)
app.command("export")(models.export)
data.command("info")(datasets.info)
data.command("convert")(datasets.convert)
data.command("verify")(datasets.verify)
app.add_typer(data, name="data")
rl.command("train")(train.train)
rl.command("eval")(evaluate.evaluate)
rl.command("compare")(compare.compare)
app.add_typer(rl, name="rl")
chess.command("prepare")(prepare.prepare)
chess.command("lessons")(lessons.lessons)
chess.command("play")(chess_play.play)
chess.command("uci")(uci.uci)
chess.command("train")(chess_train.train)
chess.command("eval")(chess_evaluate.evaluate)
chess.command("release")(chess_release.release)
chess.command("match")(match.match)
app.add_typer(chess, name="chess")
config.command("init")(configure.init)
config.command("show")(configure.show)
config.command("schema")(configure.schema)
app.add_typer(config, name="config")
app.command("doctor")(doctor.doctor)
app.command("devices")(doctor.devices)
app.command("version")(version.version)
