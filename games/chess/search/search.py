"""Search on a network: PUCT with leaves evaluated in batches, captures played out at every leaf.

The network is an ``Evaluator``; ``games.chess.search.leaves`` makes priors and a value of what it
says. Mates are found by rule, carried up exactly, and short ones given by checks are looked for
first. There is no clock here: ``should_stop`` is asked before every leaf.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import chess
import numpy as np
from numpy.typing import NDArray

from agentd.games.chess.board.moves import legal_indices
from agentd.games.chess.board.score import Score
from agentd.games.chess.search.checks import checking_moves, forced_mate, mating_move, not_mated
from agentd.games.chess.search.endings import drive, faces_bare_king
from agentd.games.chess.search.leaves import FIFTY, Judged, SearchLeaf, fade, judge
from agentd.games.chess.search.material import MaterialEvaluator
from agentd.games.chess.search.settings import (
    UNLIMITED,
    Evaluator,
    Line,
    Result,
    SearchInfo,
    SearchSettings,
    never,
)
from agentd.games.chess.search.tree import (
    Key,
    Node,
    abandon,
    best_line,
    carry_back,
    descend,
    history,
    position_key,
    rank,
)

DRIVE_NODES, DRIVE_LEAST, DRIVE_MOST = 10, 1_000, 20_000
"""Positions looked at against a bare king: for each visit of the budget, at least, and at most."""
DRIVE_WIN = 0.95
"""Expected score against a bare king as long as no mate is seen."""
AHEAD = 0.6
"""Expected score from which on a guarded policy does not let the game be drawn."""
PAST_MOVES = 4
"""Half-moves that a node's board remembers: what a network may look back."""


class Search:
    """Searches one game's positions; what it learned of a position is kept for the next move.

    ``choose`` picks among moves by what they are worth, (M,): scores of a tree, or logarithms of
    the policy alone. None: the best, or as the temperature says. No move that is seen to lead to
    being mated is among them, and a mate that is seen is given.
    """

    choose: Callable[[NDArray[np.float64]], int] | None = None

    def __init__(self, evaluator: Evaluator, settings: SearchSettings | None = None) -> None:
        self.evaluator = evaluator
        self.settings = settings or SearchSettings()
        self._rng = np.random.default_rng(self.settings.seed)
        self._known: dict[Key, Judged] = {}
        self._past: set[Key] = set()

    def forget(self, seed: int | None = None) -> None:
        """Begin a new game: empty the table; draw anew from ``seed``, or from the settings'."""
        self._known.clear()
        self._rng = np.random.default_rng(self.settings.seed if seed is None else seed)

    def run(
        self,
        board: chess.Board,
        *,
        searchmoves: Sequence[chess.Move] = (),
        should_stop: Callable[[], bool] = never,
        on_info: Callable[[SearchInfo], None] | None = None,
    ) -> Result:
        """Return the move to play on ``board``, which is left as it was.

        The same evaluator, settings and calls give the same answer unless ``should_stop`` cuts in.
        Where it does before the network was asked at all, material alone chooses the move.
        """
        settings, budget = self.settings, self.settings.budget()
        if len(self._known) > UNLIMITED // 2:
            self._known.clear()
        self._past = history(board)
        rules = settings.multipv == 1 and (budget > 1 or settings.guarded)
        if rules and not searchmoves and faces_bare_king(board) and any(board.legal_moves):
            return self._drive(board, budget, should_stop, on_info)
        root = Node(chess.Move.null(), 1.0)
        root.place(board.copy(stack=PAST_MOVES))
        root.visits = 1
        if root.key not in self._known and should_stop():
            return self._at_once(board, searchmoves)
        if not self._grow_root(root, searchmoves):
            return Result(None, None, SearchInfo(0, 0, ()))
        if rules and (mate := self._mate(root, budget, should_stop)):
            return self._finish(root, [mate], 1, on_info, mate=True)
        if budget == 1:
            return self._by_policy(root)
        plies = self._loop(root, budget, should_stop, on_info)
        if not root.children:
            return self._by_policy(root)
        return self._finish(root, root.children, 1 + plies // root.visits, on_info)

    # -- growing ------------------------------------------------------------------------------

    def _loop(
        self,
        root: Node,
        budget: int,
        should_stop: Callable[[], bool],
        on_info: Callable[[SearchInfo], None] | None,
    ) -> int:
        """Grow the tree until a limit, a proof or ``should_stop``; return the plies walked."""
        plies, reported, best = 0, 1, None
        depth = self.settings.depth or UNLIMITED
        while root.visits < budget and root.proof is None and not should_stop():
            room = min(self.settings.batch, budget - root.visits, 1 + root.visits // 4)
            plies += self._grow_batch(root, room, depth, should_stop)
            if self.settings.multipv == 1 and _decided(root, budget - root.visits):
                break
            leader = max(root.children, key=rank)
            news = leader is not best or root.visits >= 2 * reported
            if on_info and news and root.visits >= 16:
                reported, best = root.visits, leader
                ranked = sorted(root.children, key=rank, reverse=True)
                on_info(self._info(root, ranked, 1 + plies // root.visits))
        return plies

    def _grow_batch(
        self, root: Node, room: int, depth: int, should_stop: Callable[[], bool]
    ) -> int:
        """Walk to ``room`` leaves, evaluate the new ones together; return the plies walked.

        Leaves that wait when ``should_stop`` cuts in are given up.
        """
        leaves: list[SearchLeaf] = []
        plies = 0
        for _ in range(room):
            if leaves and should_stop():
                for waiting in leaves:
                    abandon(waiting.path)
                return plies
            path = descend(root, self.settings.explore, depth)
            end = path[-1]
            if end.waiting:
                abandon(path)
                break
            plies += len(path) - 1
            leaf = self._arrive(path)
            if leaf is None:
                carry_back(path, _value_of(end))
                if root.proof is not None:
                    break
            else:
                end.waiting = True
                leaves.append(leaf)
        if leaves:
            self._evaluate(leaves)
            for leaf in leaves:
                leaf.path[-1].waiting = False
                carry_back(leaf.path, _value_of(leaf.path[-1]))
        return plies

    def _arrive(self, path: list[Node]) -> SearchLeaf | None:
        """Give the path's last node its position; return it if the network must judge it."""
        node = path[-1]
        if node.board is not None:
            return None
        above = path[-2].board
        assert above is not None
        board = above.copy(stack=PAST_MOVES)
        board.push(node.move)
        node.place(board)
        if self._drawn(path, board):
            # A mate on the board counts before any draw does.
            if board.is_checkmate():
                node.proof = 0
            else:
                node.over = 0.5
            return None
        known = self._known.get(node.key)
        if known is not None:
            self._settle(node, known)
            return None
        moves, numbers = legal_indices(board)
        if not moves:
            if board.is_check():
                node.proof = 0
            else:
                node.over = 0.5
            return None
        checks = checking_moves(board, moves)
        if mating_move(board, checks):
            node.proof = 1
            return None
        return SearchLeaf(path, moves, numbers, checks)

    def _grow_root(self, root: Node, searchmoves: Sequence[chess.Move]) -> bool:
        """Evaluate the root; False if no move may be made there."""
        board = _board(root)
        known = self._known.get(root.key)
        if known is None:
            moves, numbers = legal_indices(board)
            if not moves:
                return False
            self._evaluate([SearchLeaf([root], moves, numbers, checking_moves(board, moves))])
        else:
            self._settle(root, known)
        if searchmoves:
            wanted = set(searchmoves)
            kept = [(m, p) for m, p in zip(root.moves, root.priors, strict=True) if m in wanted]
            root.moves = [move for move, _ in kept]
            root.priors = [prior for _, prior in kept]
        return bool(root.moves)

    def _evaluate(self, leaves: Sequence[SearchLeaf]) -> None:
        """Let the network judge ``leaves`` in one batch, and remember what it said."""
        boards = [_board(leaf.path[-1]) for leaf in leaves]
        logits, wins = self.evaluator.evaluate(boards)
        for leaf, board, row, win in zip(leaves, boards, logits, wins, strict=True):
            known = judge(leaf, board, row[leaf.numbers], float(win), self.settings)
            node = leaf.path[-1]
            self._known[node.key] = known
            self._settle(node, known)

    def _settle(self, node: Node, known: Judged) -> None:
        board = _board(node)
        node.moves, node.priors = known.moves, known.priors
        node.value = fade(known.value, board.halfmove_clock)

    def _drawn(self, path: Sequence[Node], board: chess.Board) -> bool:
        """True for a repetition, the fifty-move rule and material that cannot mate.

        A position that comes back is a draw at once, from the search or from the game's past: who
        is ahead must make progress, and who is behind may hope that the other does not.
        """
        clock = board.halfmove_clock
        if clock >= FIFTY or board.is_insufficient_material():
            return True
        if clock < 4:
            return False
        key = path[-1].key
        earlier = any(node.key == key for node in path[-3::-2])
        return earlier or key in self._past

    # -- answering ----------------------------------------------------------------------------

    def _mate(self, root: Node, budget: int, should_stop: Callable[[], bool]) -> Node | None:
        """A short mate by checks as a proven child of the root, None if there is none."""
        moves, positions = (2, 400) if budget == 1 else (3, min(2_000, 4 * budget))
        line = forced_mate(_board(root), moves, positions, should_stop)
        if not line or line[0] not in root.moves:
            return None
        return _proven_line(line)

    def _drive(
        self,
        board: chess.Board,
        budget: int,
        should_stop: Callable[[], bool],
        on_info: Callable[[SearchInfo], None] | None,
    ) -> Result:
        """The answer against a bare king, which needs no network."""
        nodes = min(max(DRIVE_LEAST, DRIVE_NODES * budget), DRIVE_MOST)
        found = drive(board, self._past, nodes, should_stop)
        win = DRIVE_WIN if found.mate is None else 1.0
        score = Score.of_win(win) if found.mate is None else Score.of_plies(found.mate)
        line = Line(found.move, score, win, found.nodes, (found.move,))
        info = SearchInfo(max(1, found.depth), found.nodes, (line,))
        if on_info:
            on_info(info)
        return Result(found.move, None, info)

    def _at_once(self, board: chess.Board, searchmoves: Sequence[chess.Move]) -> Result:
        """The answer of material alone, where there is no time to ask the network."""
        search = Search(MaterialEvaluator(), replace(self.settings, nodes=1, guarded=False))
        return search.run(board, searchmoves=searchmoves)

    def _by_policy(self, root: Node) -> Result:
        """The answer of the network's policy alone; a guarded one gives no won game away."""
        known = self._known[root.key]
        kept = set(root.moves)
        if self.settings.guarded and known.value > AHEAD:
            kept = self._keeping(_board(root), root.moves) or kept
        if self.choose is not None:
            kept = set(not_mated(_board(root), root.moves))
        places = [n for n, move in enumerate(known.moves) if move in kept]
        chances = known.policy[places].astype(np.float64)
        moves = [known.moves[n] for n in places]
        choice = self._draw(chances, np.log(chances.clip(np.finfo(np.float64).tiny)))
        order = sorted(range(len(moves)), key=lambda n: (n != choice, -chances[n]))
        score = Score.of_win(root.value)
        lines = tuple(
            Line(moves[n], score, root.value, 0, (moves[n],))
            for n in order[: self.settings.multipv]
        )
        return Result(moves[choice], None, SearchInfo(1, 1, lines))

    def _keeping(self, board: chess.Board, moves: Sequence[chess.Move]) -> set[chess.Move]:
        """Those of ``moves`` after which the game is no draw, nor could soon be claimed as one."""
        kept = set()
        for move in moves:
            board.push(move)
            drawn = position_key(board) in self._past or board.is_insufficient_material()
            if not drawn and (board.is_check() or any(board.generate_legal_moves())):
                kept.add(move)
            board.pop()
        return kept

    def _finish(
        self,
        root: Node,
        children: Sequence[Node],
        depth: int,
        on_info: Callable[[SearchInfo], None] | None,
        mate: bool = False,
    ) -> Result:
        """Choose among the root's children and tell of it a last time."""
        ranked = sorted(children, key=rank, reverse=True)
        varied = self.settings.temperature or self.choose
        if varied and not mate and ranked[0].proof is None:
            alive = [child for child in ranked if child.proof is None]
            visits, scores = np.array([(child.visits, child.score) for child in alive]).T
            choice = alive[self._draw(visits, scores)]
            ranked.remove(choice)
            ranked.insert(0, choice)
        info = self._info(root, ranked, depth)
        if on_info:
            on_info(info)
        line = best_line(ranked[0])
        return Result(line[0], line[1] if len(line) > 1 else None, info)

    def _draw(self, weights: NDArray[np.float64], worth: NDArray[np.float64]) -> int:
        """Index chosen by ``worth``, or drawn by ``weights`` ^ 1/temperature; at 0 the largest."""
        if self.choose is not None:
            return self.choose(worth)
        if not self.settings.temperature or not weights.any():
            return int(weights.argmax())
        with np.errstate(divide="ignore"):
            logs = np.log(weights) / self.settings.temperature
        chances = np.exp(logs - logs.max())
        return int(self._rng.choice(len(chances), p=chances / chances.sum()))

    def _info(self, root: Node, ranked: Sequence[Node], depth: int) -> SearchInfo:
        """Tell of the first of ``ranked``, which were looked at most, in the order of scores."""
        lines = []
        for child in sorted(ranked[: self.settings.multipv], key=_worth, reverse=True):
            score = Score.of_win(child.score)
            if child.proof is not None:
                score = Score.of_plies(1 - child.proof if child.proof <= 0 else -1 - child.proof)
            lines.append(
                Line(child.move, score, child.score, child.visits, tuple(best_line(child)))
            )
        return SearchInfo(depth, root.visits, tuple(lines))


def _worth(child: Node) -> tuple[float, float, int]:
    """Sort key of lines that are told, best last: mates, then score."""
    mate, visits, score = rank(child)
    return mate, score, visits


def _board(node: Node) -> chess.Board:
    assert node.board is not None
    return node.board


def _value_of(node: Node) -> float:
    """Score of the side to move at a path's end."""
    if node.proof is not None:
        return 1.0 if node.proof > 0 else 0.0
    return node.value if node.over is None else node.over


def _decided(root: Node, left: int) -> bool:
    """True if no other move can overtake the most visited one in ``left`` more visits."""
    if len(root.moves) == 1 and root.visits > 1:
        return left < UNLIMITED // 2
    visits = sorted((child.visits for child in root.children), reverse=True)
    second = visits[1] if len(visits) > 1 else 0
    return bool(visits) and len(root.children) > 1 and visits[0] - second > left


def _proven_line(line: Sequence[chess.Move]) -> Node:
    """The moves of a forced mate as a chain of nodes."""
    top = node = Node(line[0], 1.0)
    top.proof, top.visits = 1 - len(line), 1
    for ply, move in enumerate(line[1:], 2):
        child = Node(move, 1.0)
        child.visits = 1
        child.proof = ply - len(line) if ply % 2 else len(line) - ply
        node.children.append(child)
        node = child
    return top
