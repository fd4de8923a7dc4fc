"""Eight bits beside float32: time of a batch by model, and the choices of trained agents.

python scripts/bench_int8.py                      # µs a batch of 1, 32 and 256 rows
python scripts/bench_int8.py --agents DATA_DIR    # same choice, bytes, seconds, agent by agent
python scripts/bench_int8.py --chess SHARDS       # the shipped model: people's moves found
"""

import argparse
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.assembly.rows import format_of
from agentd.chess.data.shards import draw_rows, open_folder
from agentd.chess.model.model import load_bot
from agentd.chess.model.recipe import make_head, seen_by
from agentd.cli.weights.sources import StoredPolicy, find_agent
from agentd.engine.layers import Conv2d, Dense, Flatten, MaxPool2d, Relu
from agentd.engine.network import Network, Pass
from agentd.engine.numpy_backend import NumPyBackend
from agentd.engine.quantization import Int8Backend, quantize
from agentd.export.probe import inputs_of
from agentd.games.chess.board.features import features
from agentd.games.chess.data.batches import ChessRows
from agentd.games.chess.play.measure import MoveTest

BATCHES = (1, 32, 256)
MODELS = {
    "CartPole 4-128-128-2": Network(
        *(Dense(128), Relu(), Dense(128), Relu(), Dense(2)), input_shape=(4,)
    ),
    "MNIST 784-300-150-64-10": Network(
        *(Dense(300), Relu(), Dense(150), Relu(), Dense(64), Relu(), Dense(10)),
        input_shape=(784,),
    ),
    "MNIST 2 convolutions": Network(
        *(Conv2d(8, 5), Relu(), MaxPool2d(2), Conv2d(16, 5), Relu(), MaxPool2d(2)),
        *(Flatten(), Dense(64), Relu(), Dense(10)),
        input_shape=(28, 28, 1),
    ),
    "chess-small policy": Network(
        *(Dense(512), Relu(), Dense(256), Relu(), Dense(1858)), input_shape=(3681,)
    ),
}
FITTED, MOST = 8192, 10_000
FEW = 256


def main() -> None:
    """Print what was asked for as tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--agents", type=Path, metavar="DATA_DIR")
    parser.add_argument("--chess", type=Path, metavar="SHARDS")
    parser.add_argument("--rounds", type=int, default=200)
    given = parser.parse_args()
    if given.agents is not None:
        agreements(given.agents)
    elif given.chess is not None:
        chess(given.chess)
    else:
        speeds(given.rounds)


def speeds(rounds: int) -> None:
    """Time each model's forward pass, the two kinds in turns, the median told."""
    print(f"{'model':<26}{'batch':>6}{'float32 µs':>12}{'int8 µs':>10}{'ratio':>8}")
    rng = np.random.default_rng(0)
    for name, network in MODELS.items():
        flat = network.init(rng)
        backend = Int8Backend(network, partial(quantize, network))
        kinds = ((NumPyBackend(), flat), (backend, backend.load(flat)))
        for batch in BATCHES:
            x = rng.random((batch, *network.input_shape), np.float32)
            runs = [partial(Pass(network, be, batch).forward, w, x) for be, w in kinds]
            one, two = medians(runs, max(5, rounds // batch**0.5))
            print(f"{name:<26}{batch:>6}{one:>12.1f}{two:>10.1f}{one / two:>8.2f}")


def medians(runs: list[Callable[[], Any]], rounds: float) -> list[float]:
    """The median microseconds of each, called in turns."""
    took: list[list[float]] = [[] for _ in runs]
    for _ in range(int(rounds)):
        for run, times in zip(runs, took, strict=True):
            begun = time.perf_counter()
            run()
            times.append(1e6 * (time.perf_counter() - begun))
    return [float(np.median(times)) for times in took]


def agreements(data_dir: Path) -> None:
    """Compare each agent with itself in int8 on recorded rows that nothing was fitted to."""
    head = ("rows", "nearest", "fitted", "int8 acting", "bytes", "smaller", "s")
    print(f"{'agent':<20}" + "".join(f"{each:>12}" for each in head))
    for folder in sorted((data_dir / "agents").iterdir()):
        found = find_agent(folder.name, data_dir)
        recorded = found.recorded()
        if recorded is None or len(recorded.raw) < FEW:
            print(f"{folder.name:<20}{'too few rows':>12}")
            continue
        figures = list(_agreement(found, recorded))
        print(f"{folder.name:<20}" + "".join(f"{each:>12}" for each in figures), flush=True)


def _agreement(found: StoredPolicy, recorded: Any) -> Iterator[str]:
    assert found.agent is not None
    format, network = format_of(*found.agent[1:]), found.network
    x = inputs_of(format, recorded.raw, recorded.first, recorded.played)[:MOST]
    x = x.reshape(len(x), *network.input_shape)
    rows = recorded.fitted.reshape(-1, *network.input_shape)
    yield f"{len(x):,}"
    yield f"{_same(found, quantize(network, found.flat).flat, x):.2%}"
    begun = time.process_time()
    fitted = quantize(network, found.flat, rows)
    took = time.process_time() - begun
    yield f"{_same(found, fitted.flat, x):.2%}"
    backend = Int8Backend(network, lambda flat: fitted)
    yield f"{_same(found, backend.load(found.flat), x, backend):.2%}"
    yield f"{fitted.nbytes:,}"
    yield f"{found.flat.nbytes / fitted.nbytes:.2f}"
    yield f"{took:.1f}"


def _same(
    found: StoredPolicy, flat: NDArray[np.float32], x: Any, backend: NumPyBackend | None = None
) -> float:
    """The share of rows with the same action in every branch."""
    assert found.agent is not None
    q = [
        _outputs(found.network, weights, x, be)
        for weights, be in ((found.flat, None), (flat, backend))
    ]
    same, at = np.ones(len(x), bool), 0
    for width in found.agent[2].branches:
        one, two = (values[:, at : at + width].argmax(1) for values in q)
        same &= one == two
        at += width
    return float(same.mean())


def _outputs(
    network: Network, flat: NDArray[np.float32], x: Any, backend: NumPyBackend | None
) -> NDArray[np.float32]:
    run = Pass(network, backend or NumPyBackend(), 256)
    parts = [np.array(run.forward(flat, x[at : at + 256])) for at in range(0, len(x), 256)]
    return np.concatenate(parts)


def chess(shards: Path) -> None:
    """Measure how often the shipped model finds a person's move, in float32 and in int8."""
    every = ChessRows(open_folder(shards))
    rows = draw_rows(every, FITTED + MOST, 0)
    rows = rows[np.random.default_rng(0).permutation(len(rows))]
    bot = load_bot()
    network, flat = make_head(bot.recipe, "policy"), bot.weights["policy"]
    test = MoveTest(rows[FITTED:])
    calibration = seen_by(bot.recipe, features(rows[:FITTED]))
    kinds = {"float32": None, "nearest": quantize(network, flat)}
    begun = time.process_time()
    kinds["fitted"] = quantize(network, flat, calibration)
    took = time.process_time() - begun
    kinds["fitted, ranges"] = quantize(network, flat, calibration, ranges=True)
    for name, weights in kinds.items():
        backend, held = NumPyBackend(), flat
        if weights is not None:
            backend = Int8Backend(network, lambda given, w=weights: w)  # type: ignore[misc]
            held = backend.load(flat)  # type: ignore[attr-defined]

        def policy(inputs: Any, held: Any = held, backend: Any = backend) -> Any:
            return _outputs(network, held, seen_by(bot.recipe, inputs), backend)

        found = test.measure(policy, ())[0]
        size = flat.nbytes if weights is None else weights.nbytes
        print(f"{name:<16} top-1 {found.top1:.2%} top-3 {found.top3:.2%} {size:,} bytes")
    print(f"fitted to {FITTED:,} positions in {took:.0f} s; {MOST:,} others measured")


if __name__ == "__main__":
    main()
