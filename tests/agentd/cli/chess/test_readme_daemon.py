"""The daemon that the README sets up with the shipped model."""

import chess

from agentd.chess.model.model import load_bot
from agentd.chess.play.opponents import ACTIONS, OBSERVATION, DaemonPolicy
from agentd.client import Client
from agentd.games.chess.search.search import Search
from agentd.games.chess.search.settings import SearchSettings


def test_a_daemon_plays_it_as_the_readme_says(serve):
    """The agent's greedy moves are those of the policy alone."""
    words = ["agent.model.layers=[{dense: 512}, relu, {dense: 256}, relu]"]
    words += [f"agent.init.{each}" for each in ("file=chess-small", "part=policy", "scale=0.05")]
    daemon = serve(*(word for each in words for word in ("--set", each)))

    def connect(role: str) -> Client:
        address = ("127.0.0.1", daemon.port)
        return Client.connect(address, "chess", OBSERVATION, ACTIONS, role=role, explain=True)

    policy, search = (
        DaemonPolicy(connect, "play", "chess"),
        Search(load_bot(), SearchSettings(nodes=1)),
    )
    board = chess.Board()
    for _ in range(40):
        move = search.run(board.copy(stack=False)).move
        assert policy.choose(board.copy(stack=False)).move == move
        assert move is not None
        board.push(move)
    policy.close()
