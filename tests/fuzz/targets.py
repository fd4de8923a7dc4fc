"""What is fuzzed: functions of bytes that may raise the errors of their room and nothing else.

A target takes what a peer or a file may hold. `TARGETS` has each with what it may raise and a few
whole examples, from which a fuzzer makes others.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import safetensors.numpy

from agentd.chess.play.uci import UciSession
from agentd.config.convert import convert, parse_layer
from agentd.config.records import AgentConfig, ServerConfig
from agentd.engine.data.errors import DataError
from agentd.engine.data.files import load_data, open_data
from agentd.engine.data.storage import StorageWriter
from agentd.engine.layers import Dense
from agentd.engine.network import Network
from agentd.engine.network.weights import WeightsError
from agentd.engine.strictyaml import ConfigError
from agentd.errors import Unavailable
from agentd.games.chess.data.blocks import read_block
from agentd.games.chess.data.filter import Filter
from agentd.games.chess.data.pgn_reader import PythonChessReader
from agentd.protocol import messages as m
from agentd.protocol.codec import (
    FrameDecoder,
    common_version,
    decode_client,
    decode_server,
    encode,
)
from agentd.protocol.connection import ServerConnection
from agentd.protocol.errors import ProtocolError
from agentd.protocol.schema import Schema
from agentd.protocol.upgrade import HttpFault, accept_upgrade, read_request
from agentd.protocol.websocket import Opcode, WebSocketDecoder, encode_frame
from agentd.runs.weights import load_weights, save_weights
from agentd.store import Files, NoValidCheckpoint, manifest, read_checkpoint

NAME = "000001-000000000007"
NETWORK = Network(Dense(3), Dense(2), input_shape=(4,))
ONES = np.ones(NETWORK.n_params, np.float32)
HELLO = m.Hello(
    protocol=(1, 2),
    client="fuzz",
    agent="a",
    role="train",
    observation={"x": {"dtype": "float32", "shape": [2]}},
    action={"kind": "discrete", "n": 3},
    streams=2,
    run=bytes(16),
)
WELCOME = m.Welcome(
    protocol=1,
    session=bytes(16),
    agent="a",
    version=0,
    max_frame=1 << 16,
    max_rows=64,
    window=4,
    heartbeat_s=15.0,
    resumed=False,
    last_seq=0,
)
STEP = m.Step(seq=1, stream=bytes(4), kind=b"\0", reward=bytes(4), obs={"x": bytes(8)})


class Target(NamedTuple):
    """``run`` takes bytes; ``refuses``: what it may raise; ``examples``: what it takes."""

    run: Callable[[bytes], object]
    refuses: tuple[type[Exception], ...]
    examples: tuple[bytes, ...]


# -- the wire


def codec(data: bytes) -> None:
    """Frames, cut where the first byte says, read as either side's messages of either version."""
    decoder, cut = FrameDecoder(1 << 16), data[0] if data else 0
    decoder.feed(data[1 : 1 + cut])
    decoder.feed(data[1 + cut :])
    while (body := decoder.next_frame()) is not None:
        for version in (1, 2):
            with contextlib.suppress(ProtocolError):
                said = encode(decode_client(body, version))
                assert encode(decode_client(said[4:])) == said
        with contextlib.suppress(ProtocolError):
            decode_server(body)


def handshake(data: bytes) -> None:
    """A connection from its first byte: a hello, its schema and what follows, or a request."""
    if data[:4] == b"GET ":
        found = read_request(data)
        if found is not None:
            accept_upgrade(found[0])
            frames = WebSocketDecoder(1 << 16, masked=True)
            frames.receive(found[1])
            while frames.next_event() is not None:
                pass
        return
    wire = ServerConnection(1 << 16)
    wire.receive(data)
    while (said := wire.next_event()) is not None:
        if isinstance(said, m.Hello):
            if said.observation is not None and said.action is not None:
                Schema.from_wire(said.observation, said.action, common_version(said.protocol))
            wire.welcome(WELCOME)


# -- files of the daemon


def configuration(data: bytes) -> None:
    """A daemon's file, and an agent's."""
    for kind in (ServerConfig, AgentConfig):
        with contextlib.suppress(ConfigError):
            convert(parse_layer(data, "fuzz.yaml", source="file"), kind)


class OneCheckpoint(Files):
    """A folder with one checkpoint, in memory."""

    def __init__(self, contents: dict[str, bytes]) -> None:
        self.contents = contents

    def names(self, path: Path) -> list[str]:
        return list(self.contents) if path.name == NAME else [NAME]

    def is_dir(self, path: Path) -> bool:
        return path.name == NAME

    def is_plain(self, path: Path) -> bool:
        return True

    def read(self, path: Path, limit: int) -> bytes:
        return self.contents[path.name][: limit + 1]


def checkpoint(data: bytes) -> None:
    """A checkpoint of which a file is ``data``, under a manifest that vouches for it.

    The first byte says which file; 2 is the manifest itself.
    """
    which, data = data[0] % 3 if data else 0, data[1:]
    whole = safetensors.numpy.save({"w": np.ones((2, 3), np.float32)})
    contents = {"weights.safetensors": whole, "state.safetensors": whole}
    if which < 2:
        contents[list(contents)[which]] = data
    files = {name: manifest.file_entry(content) for name, content in contents.items()}
    facts = {"format": manifest.FORMAT, "name": NAME, "step": 7, "files": files}
    contents["manifest.json"] = data if which == 2 else manifest.encode(facts)
    read_checkpoint(Path("checkpoints"), files=OneCheckpoint(contents))


# -- files of data


def data_file(suffix: str) -> Callable[[bytes], None]:
    """A target that reads a file of this suffix as training does."""

    def read(data: bytes) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"data{suffix}"
            path.write_bytes(data)
            load_data(path)

    return read


def images(data: bytes) -> None:
    """A file of IDX, packed or not."""
    with tempfile.TemporaryDirectory() as folder:
        for suffix in ("", ".gz"):
            path = Path(folder) / f"data-idx3-ubyte{suffix}"
            path.write_bytes(data)
            with contextlib.suppress(DataError):
                for _ in open_data(path).blocks():
                    pass


def weights(data: bytes) -> None:
    """Weights of a small network as protobuf, as the program before this one wrote them."""
    with tempfile.NamedTemporaryFile(suffix=".pb") as file:
        file.write(data)
        file.flush()
        load_weights(Path(file.name), NETWORK)


def example(write: Callable[[Path], object], name: str) -> bytes:
    """The bytes of a file that ``write`` makes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        write(path)
        return path.read_bytes()


def npz(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def idx(array: np.ndarray) -> bytes:
    head = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return head + array.astype(np.uint8).tobytes()


def records() -> bytes:
    """Two rows of a protobuf file of data."""

    def write(path: Path) -> None:
        writer = StorageWriter(path, classes=2)
        writer.write(np.eye(2, 3, dtype=np.float32), np.array([0, 1]))
        writer.close()

    return example(write, "a.pb")


# -- chess


def pgn(data: bytes) -> None:
    """A block of a dump of games."""
    read_block(data, PythonChessReader(), Filter(rated=False, min_plies=0))


def uci(data: bytes) -> None:
    """What a GUI says to an engine that has no model to think with."""

    def no_model(name: str | None, rating: int | None) -> object:
        raise Unavailable("there is no model")

    session = UciSession(lambda line: None, no_model)
    session.run(data.decode("utf-8", "replace").splitlines())


GAME = b"""[Event "Rated Blitz game"]
[White "a"]
[Black "b"]
[Result "1-0"]
[WhiteElo "1500"]
[BlackElo "1600"]
[TimeControl "180+2"]

1. e4 { [%eval 0.17] [%clk 0:03:00] } e5 2. Nf3!? Nc6 (2... d6 3. d4) 3. Bb5 a6 4. O-O 1-0

"""
GUI = b"""uci
setoption name Move Overhead value 20
setoption name Skill Level value 3
position startpos moves e2e4 e7e5 g1f3
go wtime 1000 btime 900 winc 10 binc 10 movestogo 20 searchmoves b8c6
position fen r3k2r/8/8/8/8/8/8/R3K2R w KQkq - 0 1 moves e1g1
go nodes 10 mate 2
isready
stop
ponderhit
quit
"""
WORDS = b"uci\nposition startpos moves e2e4\nsetoption name Seed value 3\nstop\nquit\n"
REQUEST = b"""GET / HTTP/1.1\r
Host: localhost\r
Upgrade: websocket\r
Connection: Upgrade\r
Sec-WebSocket-Version: 13\r
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r
\r
"""
CONFIG = b"""host: 127.0.0.1
limits: {window: 4, hello_timeout_s: 2.5}
agents:
  a:
    model: {layers: [{conv2d: {channels: 2, kernel: 3}}, relu, flatten, {dense: 8}], dueling: true}
    dqn: {batch: 32, n_step: 3, target: {every: 50}}
    optimizer: {name: adam, lr: 1e-3}
"""
AGENT = b"""learner: dqn
seed: 7
exploration: {start: 1.0, end: 0.05, steps: 1000}
pace: {mode: paced, learn_start: 200, train_every: 16, updates: 8}
"""
TABLE = b"a,b,label\n1,2.5,yes\n3,-4e2,no\n5,6,yes\n"
_ROWS = np.arange(12, dtype=np.float32).reshape(4, 3)
_CLASSES = np.array([0, 1, 1, 0])
_TENSORS = safetensors.numpy.save({"w": np.zeros((2, 3), np.float32)})
_CONTROL = encode(m.Create(agent="a", config={"model": {"layers": [{"dense": 8}]}}))
_PING = encode(m.Ping(t=1.0))
_STORED = {name: manifest.file_entry(_TENSORS) for name in ("weights.safetensors",)}

TARGETS: dict[str, Target] = {
    "codec": Target(
        codec,
        (ProtocolError,),
        (b"\x07" + encode(HELLO), b"\x07" + encode(STEP), b"\0" + _CONTROL + _PING),
    ),
    "handshake": Target(
        handshake,
        (ProtocolError, HttpFault),
        (
            encode(HELLO) + encode(STEP) + _PING,
            REQUEST + encode_frame(Opcode.BINARY, encode(HELLO)[4:], key=b"abcd"),
        ),
    ),
    "configuration": Target(configuration, (), (CONFIG, AGENT)),
    "checkpoint": Target(
        checkpoint,
        (NoValidCheckpoint,),
        (
            b"\0" + _TENSORS,
            b"\1" + _TENSORS,
            b"\2" + manifest.encode({"format": 1, "name": NAME, "step": 7, "files": _STORED}),
        ),
    ),
    "csv": Target(data_file(".csv"), (DataError,), (TABLE, b'"x;1";y\n"1,5";2\n7;8\n')),
    "idx": Target(
        images, (), (idx(np.zeros((2, 3, 3))), idx(_CLASSES), gzip.compress(idx(_CLASSES)))
    ),
    "npz": Target(
        data_file(".npz"),
        (DataError,),
        (npz(x=_ROWS, y=_CLASSES), npz(arr_0=_ROWS, arr_1=_CLASSES)),
    ),
    "npy": Target(
        data_file(".npy"), (DataError,), (example(lambda path: np.save(path, _ROWS), "a.npy"),)
    ),
    "protobuf": Target(data_file(".pb"), (DataError,), (records(),)),
    "weights": Target(
        weights,
        (DataError, WeightsError),
        (
            example(
                lambda path: save_weights(path, "pb", NETWORK, ONES, {}),
                "a.pb",
            ),
        ),
    ),
    "pgn": Target(pgn, (), (GAME, GAME * 2)),
    "uci": Target(uci, (Unavailable,), (GUI, WORDS)),
}
"""Each target by its name."""


def try_one(name: str, data: bytes) -> None:
    """Run a target; raise what it may not raise."""
    target = TARGETS[name]
    with contextlib.suppress(*target.refuses):
        target.run(data)
