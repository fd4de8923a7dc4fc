"""A small client from sockets and msgpack that keeps every rule but the one that it is to break.

    python faulty_client.py HOST:PORT [BUG [STEPS]]

Two streams of a game with five-step episodes; ``FORMS`` has its schemas. Imports nothing of agentd.
"""

import base64
import math
import os
import socket
import struct
import sys
import time

import msgpack

FORMS = {
    "multi": {"kind": "multi_discrete", "n": [3, 2]},
    "discrete": {"kind": "discrete", "n": 3},
    "box": {"kind": "box", "low": [-1.0, 0.0], "high": [1.0, 2.0]},
    "mixed": {"kind": "mixed", "heads": [{"n": 3}, {"low": -1.0, "high": 1.0, "name": "wheel"}]},
}
EPISODE = 5
STREAMS = 2


class Died(Exception):
    """What a bug of a client ends in."""


class Refused(Exception):
    """A fatal error of the server."""


class Client:
    def __init__(self, address, bug="", steps=10**6, form="multi"):
        host, port = address.rsplit(":", 1)
        self.address = (host, int(port))
        self.bug, self.steps, self.form = bug, steps, form
        self.run = bytes(16) if bug == "run of zeros" else os.urandom(16)
        self.web = form == "web"
        self.action = FORMS["multi" if self.web else form]
        self.session = None
        self.stop = False
        self.frames = 0
        self.other = 0.0
        self.begin_session()

    def begin_session(self):
        self.seq = -1 if self.bug == "seq from 0" else 0
        self.pending = {}  # seq -> bytes
        self.rows = {}  # seq -> the stream of each row
        self.age = [0] * STREAMS  # rows of the episode; 0: none is under way
        self.last = [None] * STREAMS  # the action played last
        self.masks = [None] * STREAMS
        self.answered = 0

    # -- one connection after the other --------------------------------------------------------

    def play(self):
        """Play until the steps are done or the server refuses us; the exit code."""
        resume = False
        while not self.stop:
            try:
                self.converse(resume)
                return 0
            except Refused:
                if self.bug != "dials after a fatal error":
                    return 3
            except Died:
                return 4
            except (OSError, EOFError):
                if self.bug == "no second dial" and self.session:
                    return 5
            finally:
                self.socket.close()
            resume = self.session is not None
            time.sleep(0.02)
        return 0

    def converse(self, resume):
        self.data = b""
        self.socket = socket.create_connection(self.address, 5)
        self.socket.settimeout(5)
        if self.web:
            self.upgrade()
        self.greet(resume)
        while self.frames < self.steps and not self.stop:
            window = 8 if self.bug == "no window" else 1
            while len(self.pending) < window:
                self.send_rows()
            self.receive_answer()
            self.chat()
        if self.bug != "no goodbye":
            self.send({"type": "goodbye", "reason": "client_done"})
            while self.receive()["type"] != "goodbye":
                pass

    def greet(self, resume):
        hello = {
            "type": "hello",
            "protocol": [2, 1] if self.bug == "range upside down" else self.versions(),
            "client": "" if self.bug == "no name" else "faulty",
            "role": "train",
            "run": self.run,
            "agent": "checked",
            "observation": {
                "x": {"dtype": "float64" if self.bug == "float64" else "float32", "shape": [2]},
                "n": {"dtype": "int32", "shape": []},
            },
            "action": self.action,
            "streams": STREAMS,
            "explain": True,
        }
        if resume and self.bug != "no resume":
            hello["resume"] = self.session
        self.send(hello)
        if self.bug == "does not wait for welcome":
            self.send({"type": "ping", "t": 1})
        self.welcome = self.receive()
        if self.bug == "second hello":
            self.send(hello)
        patience = 2 * self.welcome["heartbeat_s"]
        self.socket.settimeout(None if self.bug == "waits for ever" else patience)
        if self.bug == "impatient":
            self.socket.settimeout(0.3)
        resumed = self.welcome["resumed"]
        if resumed and self.welcome["last_seq"] < self.answered and self.bug != "keeps forgotten":
            self.session = None
            self.begin_session()
            raise EOFError
        self.session = self.welcome["session"]
        if not resumed and self.bug == "plays on in a lost session" and resume:
            self.pending.clear()
        elif not resumed:
            self.begin_session()
        elif self.bug == "resends other bytes":
            seqs = list(self.pending)
            self.seq -= len(seqs)
            self.pending.clear()
            self.other = 1.0
            for stream in range(STREAMS):
                self.age[stream] = max(1, self.age[stream] - 1)
        elif self.bug == "resends nothing":
            self.pending.clear()
        for frame in self.pending.values():
            self.write(frame)

    def versions(self):
        return [2, 2] if self.form in ("box", "mixed") else [1, 2]

    # -- frames --------------------------------------------------------------------------------

    def send_rows(self):
        """Send the next row of each stream, and of a stream that ends two."""
        self.frames += 1
        self.seq += 1
        rows = []
        for stream in range(STREAMS):
            rows += self.next_rows(stream)
        self.rows[self.seq] = [row[0] % STREAMS for row in rows]
        step = {
            "type": "step",
            "seq": self.seq,
            "stream": self.packed("I", [row[0] for row in rows]),
            "kind": bytes(row[1] for row in rows),
            "reward": self.packed("f", [self.reward(row) for row in rows]),
            "obs": {
                "x": self.packed("f", [v for row in rows for v in (0.5, self.value(row))]),
                "n": self.packed("i", [row[2] * 300 for row in rows]),
            },
        }
        width = {"web": 5, "multi": 5, "discrete": 3, "box": 0, "mixed": 3}[self.form]
        if width:
            step["mask"] = b"".join(self.mask(row, width) for row in rows)
        if self.bug == "no window":
            pass
        elif self.welcome["protocol"] > 1 or self.bug == "facts in version 1":
            step |= self.facts(rows)
        if self.bug == "short observation" and self.seq > 1:
            step["obs"]["x"] = step["obs"]["x"][:-4]
        if self.bug == "list of numbers":
            step["reward"] = [0.5] * len(rows)
        if self.bug == "unknown key":
            step["time"] = 1.5
        if self.bug == "teaches badly" and self.seq > 2:
            step = {"type": "teach", "seq": self.seq, "obs": step["obs"], "target": b"\0\0\0"}
        body = msgpack.packb(step)
        if self.bug == "bytes behind the map" and self.seq > 1:
            body += b"\0"
        order = ">I" if self.bug == "long length" and self.seq > 1 else "<I"
        self.pending[self.seq] = struct.pack(order, len(body)) + body
        self.write(self.pending[self.seq])

    def next_rows(self, stream):
        """(stream, kind, age) of the rows that a stream sends now."""
        age = self.age[stream]
        number = STREAMS if self.bug == "stream too high" and age == 3 else stream
        if age == 0:
            self.age[stream] = 1
            return [(number, 1 if self.bug == "begins with mid" else 0, 0)]
        if age < EPISODE:
            self.age[stream] = age + 1
            again = self.bug == "first in mid-episode" and age == 3
            return [(number, 0 if again else 1, age)]
        self.age[stream] = 1
        kind = 2 if stream else 3
        return [(number, kind, age), (number, 1 if self.bug == "mid after the end" else 0, 0)]

    def reward(self, row):
        return math.nan if self.bug == "reward of NaN" and row[2] == 2 else 0.25 * row[2]

    def value(self, row):
        return self.other + 1.0 / (1 + row[2])

    def mask(self, row, width):
        mask = bytearray(b"\1" * width)
        mask[0] = row[2] != 3
        if self.bug == "empty mask" and row[1] >= 2:
            mask = bytearray(width)
        self.masks[row[0] % STREAMS] = bytes(mask)
        return bytes(mask)

    def facts(self, rows):
        """What was played, how long it took, what was won."""
        taken = []
        for stream, kind, age in rows:
            played = self.last[stream % STREAMS]
            if played is None or kind == 0:
                played = (1, 1) if self.form != "discrete" else (1,)
            elif self.bug == "forbidden action taken" and age == 4:
                played = (0, *played[1:])
            taken += played
        order = "i" if self.form in ("multi", "web", "discrete") else "f"
        won = [kind == 2 or self.bug == "wins in mid-episode" for _, kind, _ in rows]
        return {
            "taken": self.packed(order, taken),
            "by": bytes(1 if age == 2 else 0 for _, _, age in rows),
            "elapsed": self.packed("f", [0 if self.bug == "no time" else 1.0] * len(rows)),
            "success": bytes(won),
        }

    def packed(self, form, numbers):
        order = ">" if self.bug == "big-endian" and form == "f" else "<"
        return struct.pack(f"{order}{len(numbers)}{form}", *numbers)

    # -- answers -------------------------------------------------------------------------------

    def receive_answer(self):
        seq = next(iter(self.pending))
        while (message := self.receive())["type"] not in ("act", "taught", "error"):
            pass
        if message["type"] == "error" and self.bug == "dies of a refused frame":
            raise Died
        if message["seq"] != seq:
            raise Died
        self.answered = seq
        del self.pending[seq]
        if message["type"] == "act":
            self.read_action(message)

    def read_action(self, act):
        known = {"type", "seq", "action", "version", "q", "explored", "late"}
        known -= {"late"} if self.bug == "does not know late" else set()
        known -= {"q", "explored"} if self.bug == "does not know q" else set()
        if set(act) - known:
            raise Died
        wide = 1 if self.form == "discrete" else 2
        order = "i" if self.form in ("multi", "web", "discrete") else "f"
        if self.bug in ("reads one branch", "reads whole numbers"):
            numbers = struct.unpack(f"<{len(act['action']) // 4}i", act["action"])
            if any(not -1 <= number < 3 for number in numbers) or self.bug == "reads one branch":
                raise Died
        numbers = struct.unpack(f"<{len(act['action']) // 4}{order}", act["action"])
        for row, stream in enumerate(self.rows[act["seq"]]):
            action = numbers[wide * row : wide * row + wide]
            if action[-1] == action[-1] and action[0] != -1:
                self.last[stream] = action

    # -- messages ------------------------------------------------------------------------------

    def chat(self):
        """What a game says beside its rows."""
        if self.bug == "no window":
            return
        if self.welcome["protocol"] > 1 and self.frames % 7 == 0:
            fuel = math.inf if self.bug == "logs infinity" else 0.5
            self.send({"type": "log", "values": {"race/fuel": fuel}})
        if self.frames % 9 == 0:
            self.send({"type": "stats"})
            while (message := self.receive())["type"] != "stats":
                pass
            if self.bug == "knows all keys of stats" and "invented" in message["server"]:
                raise Died

    def receive(self):
        """The next message that is no ping, settings or end."""
        while True:
            message = self.next_message()
            if message["type"] == "ping":
                t = int(message["t"]) if self.bug == "rounds t" else message["t"]
                if self.bug != "no pongs":
                    self.send({"type": "pong", "t": t})
            elif message["type"] == "settings" and self.bug == "does not know settings":
                raise Died
            elif message["type"] == "goodbye" and self.bug == "stays after goodbye":
                while not self.stop:
                    time.sleep(0.05)
            elif message["type"] == "goodbye" and message["reason"] != "client_done":
                raise EOFError
            elif message["type"] == "error" and message["fatal"]:
                if message["code"] == "LIMIT":
                    wait = 0 if self.bug == "comes too early" else message["retry_ms"] / 1000
                    time.sleep(wait)
                    raise EOFError
                raise Refused
            elif message["type"] != "settings":
                return message

    def next_message(self):
        if self.bug == "one recv is one frame" and self.welcome_read():
            data = self.socket.recv(65536)
            if not data:
                raise EOFError
            try:
                (length,) = struct.unpack("<I", data[:4])
                return msgpack.unpackb(data[4 : 4 + length])
            except Exception:
                raise Died from None
        (length,) = struct.unpack("<I", self.exactly(4))
        return msgpack.unpackb(self.exactly(length))

    def welcome_read(self):
        return self.session is not None

    def exactly(self, count):
        while len(self.data) < count:
            part = self.receive_message() if self.web else self.socket.recv(65536)
            if not part:
                raise EOFError
            self.data += part
        part, self.data = self.data[:count], self.data[count:]
        return part

    def send(self, message):
        body = msgpack.packb(message)
        self.write(struct.pack("<I", len(body)) + body)

    def write(self, data):
        self.socket.sendall(self.masked(data[4:]) if self.web else data)

    # -- WebSocket -----------------------------------------------------------------------------

    def upgrade(self):
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        self.messages = b""
        while b"\r\n\r\n" not in self.messages:
            self.more()
        head, _, self.messages = self.messages.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101 "):
            raise Died

    def masked(self, body):
        size = len(body)
        head = bytes([0x82, 0x80 | size]) if size < 126 else struct.pack(">BBH", 0x82, 0xFE, size)
        if self.bug == "no mask on messages":
            return bytes([head[0], head[1] & 0x7F]) + head[2:] + body
        key = os.urandom(4)
        return head + key + bytes(byte ^ key[at % 4] for at, byte in enumerate(body))

    def receive_message(self):
        """The next binary message as a frame of TCP; nothing after a close."""
        while True:
            opcode, payload = self.receive_part()
            if opcode == 8:
                return b""
            if opcode == 2:
                return struct.pack("<I", len(payload)) + payload

    def receive_part(self):
        while len(self.messages) < 4:
            self.more()
        size, at = self.messages[1], 2
        if size == 126:
            size, at = struct.unpack(">H", self.messages[2:4])[0], 4
        while len(self.messages) < at + size:
            self.more()
        opcode, payload = self.messages[0] & 15, self.messages[at : at + size]
        self.messages = self.messages[at + size :]
        return opcode, payload

    def more(self):
        part = self.socket.recv(65536)
        if not part:
            raise EOFError
        self.messages += part


if __name__ == "__main__":
    more = sys.argv[2:]
    client = Client(sys.argv[1], *more[:1], *map(int, more[1:2]))
    sys.exit(client.play())
