"""The book of openings: what it says, how it is drawn from, and the one that ships."""

import random
from collections import Counter

import chess

from agentd.chess.play.book import Book
from agentd.games.chess.play.opening_book import draw_opening, read_book, write_book

TEXT = """# a book
: e2e4=3 d2d4=1
e2e4: e7e5=2
"""


def test_moves_are_drawn_as_often_as_people_played_them() -> None:
    book, rng = read_book(TEXT), random.Random(0)

    drawn = Counter(str(draw_opening(book, chess.Board(), rng)) for _ in range(400))

    assert set(drawn) == {"e2e4", "d2d4"}
    assert 270 < drawn["e2e4"] < 330
    assert read_book(write_book(book)) == book


def test_other_positions_are_in_no_book() -> None:
    book, rng = read_book(TEXT), random.Random(0)
    board = chess.Board()
    for uci in ("e2e4", "e7e5"):
        board.push_uci(uci)
    assert draw_opening(book, board, rng) is None
    assert draw_opening(book, chess.Board("4k3/8/8/8/8/8/4P3/4K3 w - - 0 1"), rng) is None


def test_the_book_that_ships_is_legal_throughout() -> None:
    book = Book()
    book.draw(chess.Board())
    assert book._openings is not None
    for path, played in book._openings.items():
        board = chess.Board()
        for uci in path.split():
            board.push_uci(uci)
        assert played
        for uci in played:
            assert board.is_legal(chess.Move.from_uci(uci)), (path, uci)
    assert len(book._openings) > 150
