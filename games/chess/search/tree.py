"""The tree that a search grows: nodes, the choice of where to look, results carried to the root.

PUCT (Silver et al. 2017, "Mastering the game of Go without human knowledge"): a node's child is
picked by its mean score plus ``c · prior · sqrt(visits of the node) / (1 + visits of the child)``.
Mates are carried up exactly (Winands et al. 2008, "Monte-Carlo tree search solver"): one move that
mates wins the node, and a node all of whose moves are lost is lost.
"""

import math
from collections.abc import Sequence

import chess

UNSEEN_LOSS = 0.16
"""How much worse than its parent a move is taken to be before it is looked at."""


class Node:
    """A position of the tree, which ``move`` led to.

    visits, total    how often it was visited; the sum of scores of the side that moved here
    moves, priors    legal moves and their priors, likeliest first
    children         nodes of the first of ``moves``: of untried ones the likeliest comes next
    value            the network's score of the side to move
    proof            plies to a forced mate, None for none: above 0 the side to move gives it, at or
                     below 0 it suffers it (0: it is mated)
    over             score of a node at which the game is drawn; None elsewhere
    waiting          the network has not judged it yet
    """

    __slots__ = (
        *("board", "children", "key", "move", "moves", "over", "prior", "priors", "proof"),
        *("total", "value", "visits", "waiting"),
    )

    def __init__(self, move: chess.Move, prior: float) -> None:
        self.move = move
        self.prior = prior
        self.visits = 0
        self.total = 0.0
        self.value = 0.5
        self.moves: Sequence[chess.Move] = ()
        self.priors: Sequence[float] = ()
        self.children: list[Node] = []
        self.board: chess.Board | None = None
        self.key: Key = ()
        self.proof: int | None = None
        self.over: float | None = None
        self.waiting = False

    def place(self, board: chess.Board) -> chess.Board:
        """Set the node's position and return it."""
        self.board = board
        self.key = position_key(board)
        return board

    @property
    def score(self) -> float:
        """Mean score of the side that moved here, in [0, 1]; a proven mate is exact."""
        if self.proof is not None:
            return 0.0 if self.proof > 0 else 1.0
        return self.total / self.visits if self.visits else 1.0 - self.value


Key = tuple[int, ...]


def position_key(board: chess.Board) -> Key:
    """Return what makes positions the same for a repetition: pieces, turn, castling, passing."""
    passing = board.ep_square if board.ep_square and board.has_legal_en_passant() else 0
    return (
        *(board.pawns, board.knights, board.bishops, board.rooks, board.queens, board.kings),
        *(board.occupied_co[chess.WHITE], board.castling_rights, passing, board.turn),
    )


def history(board: chess.Board) -> set[Key]:
    """Return the positions since the last capture or pawn's move, the present one too."""
    past = {position_key(board)}
    back = board.copy(stack=board.halfmove_clock)
    while back.move_stack:
        back.pop()
        past.add(position_key(back))
    return past


def pick(node: Node, explore: float) -> Node | None:
    """Return the child to visit next, which may be new; None if every move is proven to lose."""
    children, tried = node.children, len(node.children)
    reach = explore * math.sqrt(node.visits)
    best, choice = -1.0, None
    known = 0.0
    for child in children:
        known += child.prior
        if child.proof is not None and child.proof > 0:
            continue
        visits = child.visits
        score = child.total / visits + reach * child.prior / (1 + visits)
        if score > best:
            best, choice = score, child
    if tried < len(node.moves):
        mean = 1.0 - (node.total / node.visits if node.visits else 1.0 - node.value)
        unseen = mean - UNSEEN_LOSS * math.sqrt(known) + reach * node.priors[tried]
        if choice is None or unseen > best:
            choice = Node(node.moves[tried], node.priors[tried])
            children.append(choice)
    return choice


def descend(root: Node, explore: float, depth: int) -> list[Node]:
    """Return the path from ``root`` to a node that is new, over, proven or ``depth`` plies away.

    Every node of the path has one visit more, without a score yet: until it is carried back that
    counts as a loss, so that the paths of one batch spread.
    """
    node, path = root, [root]
    root.visits += 1
    while node.moves and node.over is None and node.proof is None and len(path) <= depth:
        child = pick(node, explore)
        if child is None:
            break
        child.visits += 1
        path.append(child)
        node = child
    return path


def abandon(path: Sequence[Node]) -> None:
    """Take back the visits of a path whose end already waits for the network."""
    for node in path:
        node.visits -= 1


def carry_back(path: Sequence[Node], value: float) -> None:
    """Add the score ``value`` of the side to move at the path's end to every node of the path."""
    below: Node | None = None
    for node in reversed(path):
        if below is not None and below.proof is not None and node.proof is None:
            node.proof = _proof_from(node, below)
        if node.proof is not None:
            value = 1.0 if node.proof > 0 else 0.0
            node.total = (1.0 - value) * node.visits
        else:
            node.total += 1.0 - value
        value = 1.0 - value
        below = node


def _proof_from(node: Node, below: Node) -> int | None:
    """What a child's mate proves of its parent."""
    assert below.proof is not None
    if below.proof <= 0:
        return 1 - below.proof
    if len(node.children) < len(node.moves):
        return None
    longest = 0
    for child in node.children:
        if child.proof is None or child.proof <= 0:
            return None
        longest = max(longest, child.proof)
    return -1 - longest


def rank(child: Node) -> tuple[float, int, float]:
    """Sort key of the root's children, best last: mates, then visits, then score.

    A mate given soon comes before one given late; a mate suffered late before one suffered soon.
    """
    if child.proof is None:
        return 0.0, child.visits, child.score
    mate = 1.0 / (1 - child.proof) if child.proof <= 0 else -1.0 / child.proof
    return mate, child.visits, child.score


def best_line(node: Node) -> list[chess.Move]:
    """Return the moves that the search expects from ``node`` on, its own move first."""
    line = [node.move]
    while node.children:
        seen = [child for child in node.children if child.visits or child.proof is not None]
        if not seen:
            break
        node = max(seen, key=rank)
        line.append(node.move)
    return line
