"""Python clients for games: blocking and asyncio shells over the same sans-IO protocol.

    from agentd.client import FIRST, MID, TERMINATED, Client

Importing this loads the protocol package and NumPy, nothing of the server or the engine.
``agentd.client.gym`` (needs Gymnasium) turns environments into games for ``Rollout``.
"""

from agentd.client.address import Address
from agentd.client.aio import AsyncClient
from agentd.client.blocking import Client
from agentd.client.errors import (
    ClientClosed,
    ClientError,
    DataRefused,
    NotAgentd,
    OperationRefused,
    OutcomeUnknown,
    Refused,
    ServerTooOld,
    SessionLost,
    Unreachable,
    WindowFull,
)
from agentd.client.frames import Act, Taught
from agentd.client.game import GameFrame, VectorGame
from agentd.client.played import RowFacts
from agentd.client.rollout import (
    Episode,
    Evaluation,
    Tally,
    Turn,
    demonstrate,
    evaluate,
    join,
    play,
)
from agentd.client.settings import ConnectOptions
from agentd.client.takeover import Moment, TakeOver
from agentd.protocol.errors import Code, ProtocolError
from agentd.protocol.rows import FIRST, MID, TERMINATED, TRUNCATED

Frame = GameFrame
Options = ConnectOptions

__all__ = [
    "FIRST",
    "MID",
    "TERMINATED",
    "TRUNCATED",
    "Act",
    "Address",
    "AsyncClient",
    "Client",
    "ClientClosed",
    "ClientError",
    "Code",
    "ConnectOptions",
    "DataRefused",
    "Episode",
    "Evaluation",
    "Frame",
    "GameFrame",
    "Moment",
    "NotAgentd",
    "OperationRefused",
    "Options",
    "OutcomeUnknown",
    "ProtocolError",
    "Refused",
    "RowFacts",
    "ServerTooOld",
    "SessionLost",
    "TakeOver",
    "Tally",
    "Taught",
    "Turn",
    "Unreachable",
    "VectorGame",
    "WindowFull",
    "demonstrate",
    "evaluate",
    "join",
    "play",
]
