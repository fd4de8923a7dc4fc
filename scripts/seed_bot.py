"""The bot of the project's beginnings, made again to be played against: a value and two plies.

python scripts/seed_bot.py train SHARDS --out seed_bot.safetensors    learn from prepared games
python scripts/seed_bot.py uci seed_bot.safetensors                   play it in any GUI
agentd chess match --out DIR --engine "python scripts/seed_bot.py uci FILE" --limit depth=2

Its design: 898 inputs, a dense network that tells the expected score, alpha-beta of depth 2 and
nothing else: no policy, no quiescence, no table. Only the number of inputs is known of the
original; here they are 768 for the pieces on their squares, 64 for the squares that the mover
attacks, 64 for those that the other side attacks, whether the mover is in check, and the fifty-move
counter. It is trained by this engine on the same positions, with the same targets, as the shipped
model's value.
"""

import argparse
import sys
from pathlib import Path

import chess
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from agentd.chess.data.shards import open_folder
from agentd.chess.model.head_trainer import HeadTrainer
from agentd.chess.model.recipe import ChessRecipe, HeadSpec
from agentd.chess.play.uci_words import parse_position
from agentd.engine.layers import Dense, Relu
from agentd.engine.network import Network, Pass
from agentd.engine.network.weights import join, split
from agentd.engine.numpy_backend import NumPyBackend
from agentd.games.chess.board.bits import to_squares
from agentd.games.chess.board.features import attacks, pieces
from agentd.games.chess.board.position import Positions, encode_boards
from agentd.games.chess.data.batches import ChessRows, expected_score

INPUTS = 898
LAYERS = (Dense(256), Relu(), Dense(64), Relu(), Dense(1))
BATCH = 512


def network() -> Network:
    """898-256-64-1: the logit of the mover's expected score."""
    return Network(*LAYERS, input_shape=(INPUTS,))


def inputs(rows: Positions) -> NDArray[np.float32]:
    """Return (B, 898) of positions (B,)."""
    mine, theirs = pieces(rows)
    empty = ~(np.bitwise_or.reduce(mine) | np.bitwise_or.reduce(theirs))
    my_reach = np.bitwise_or.reduce(attacks(mine, empty, "n"))
    their_reach = np.bitwise_or.reduce(attacks(theirs, empty, "s"))
    boards = np.stack([*mine, *theirs, my_reach, their_reach], axis=1)
    out = np.empty((len(rows), INPUTS), np.float32)
    out[:, : 64 * 14] = to_squares(boards).reshape(len(rows), -1)
    out[:, 896] = (mine[5] & their_reach) > 0
    out[:, 897] = rows["halfmove"] / np.float32(100)
    return out


def train(shards: Path, out: Path, steps: int, seed: int) -> None:
    """Fit the network to the expected scores of positions drawn from ``shards``, and keep it."""
    warmup = min(200, steps // 10)
    recipe = ChessRecipe(value=HeadSpec(), batch=BATCH, steps=steps, warmup=warmup, seed=seed)
    learner = HeadTrainer(network(), recipe, "value", NumPyBackend())
    rows, rng = ChessRows(open_folder(shards)), np.random.default_rng(seed)
    losses = []
    for step in range(1, steps + 1):
        batch = rows.take(rng.integers(len(rows), size=BATCH))
        losses.append(learner.step(inputs(batch), expected_score(batch)[:, None]))
        if step % max(1, steps // 10) == 0:
            print(f"step {step}/{steps}  loss {np.mean(losses[-steps // 10 :]):.4f}", flush=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    save_file(split(network(), learner.weights), str(out))


class SeedBot:
    """The trained network and its two plies."""

    def __init__(self, weights: NDArray[np.float32]) -> None:
        backend = NumPyBackend()
        self._backend, self._params = backend, backend.asarray(weights)
        self._pass = Pass(network(), backend, BATCH)

    def values(self, boards: list[chess.Board]) -> NDArray[np.float64]:
        """Return the expected scores (B,) of the movers."""
        if not boards:
            return np.empty(0)
        rows = inputs(encode_boards(boards))
        found = []
        for first in range(0, len(rows), BATCH):
            part = rows[first : first + BATCH]
            x = self._pass.input(self._params, len(part))
            self._backend.write(x, part)
            found.append(self._backend.to_host(self._pass.forward(self._params, x))[:, 0].copy())
        logits = np.concatenate(found).astype(np.float64)
        return 1 / (1 + np.exp(-np.clip(logits, -30, 30)))

    def choose(self, board: chess.Board) -> chess.Move | None:
        """Return the move of the best worst answer; of equal ones the first.

        All positions two plies ahead are judged in one batch: the value is that of alpha-beta,
        which only leaves out what cannot change it.
        """
        moves = list(board.legal_moves)
        leaves: list[chess.Board] = []
        spans: list[tuple[int, int, float]] = []
        for move in moves:
            board.push(move)
            first, least = len(leaves), 2.0
            for answer in list(board.legal_moves):
                board.push(answer)
                end = _ended(board)
                if end is None:
                    leaves.append(board.copy(stack=False))
                else:
                    least = min(least, end)
                board.pop()
            over = _ended(board)
            spans.append((first, len(leaves), least if over is None else 1.0 - over))
            board.pop()
        values = self.values(leaves)
        scores = [min([known, *values[first:last]]) for first, last, known in spans]
        return moves[int(np.argmax(scores))] if moves else None


def _ended(board: chess.Board) -> float | None:
    """The mover's score of a game that is over, None of one that is not."""
    if board.is_checkmate():
        return 0.0
    if board.is_stalemate() or board.is_insufficient_material() or board.halfmove_clock >= 100:
        return 0.5
    return None


def uci(bot: SeedBot) -> None:
    """Speak as much UCI as a match needs: every ``go`` looks two plies ahead."""
    board = chess.Board()
    for line in sys.stdin:
        words = line.split()
        if words[:1] == ["uci"]:
            print("id name seed bot (898 inputs, depth 2)\nuciok", flush=True)
        elif words[:1] == ["isready"]:
            print("readyok", flush=True)
        elif words[:1] == ["position"]:
            board = parse_position(words[1:])
        elif words[:1] == ["go"]:
            move = bot.choose(board)
            print(f"bestmove {move.uci() if move else '(none)'}", flush=True)
        elif words[:1] == ["quit"]:
            return


def main() -> None:
    """Read the command line and do what it says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    learn = verbs.add_parser("train", help="learn from prepared games")
    learn.add_argument("shards", type=Path)
    learn.add_argument("--out", type=Path, default=Path("seed_bot.safetensors"))
    learn.add_argument("--steps", type=int, default=4_000)
    learn.add_argument("--seed", type=int, default=0)
    play = verbs.add_parser("uci", help="play as a UCI engine")
    play.add_argument("model", type=Path)
    asked = parser.parse_args()
    if asked.verb == "train":
        train(asked.shards, asked.out, asked.steps, asked.seed)
    else:
        if not asked.model.is_file():
            parser.error(f"no model {asked.model}: `train` makes one")
        uci(SeedBot(join(network(), load_file(str(asked.model)), str(asked.model))))


if __name__ == "__main__":
    main()
