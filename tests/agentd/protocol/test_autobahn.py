"""The codec under the Autobahn test suite, the reference of WebSocket implementations.

It runs on Python 2.7 alone:

    python2.7 -m pip install --target DIR autobahntestsuite && touch DIR/zope/__init__.py
    WSTEST=DIR/bin/wstest python -m pytest -m long tests/agentd/protocol/test_autobahn.py
"""

import asyncio
import json
import os
import shutil
from collections import Counter
from pathlib import Path

import pytest

from agentd.protocol.codec import HEADER
from agentd.protocol.upgrade import accept_upgrade, read_request
from agentd.protocol.websocket import (
    CloseCode,
    Opcode,
    WebSocketDecoder,
    WebSocketFault,
    encode_close,
    encode_frame,
    read_close,
)

WSTEST = os.environ.get("WSTEST") or shutil.which("wstest")
CASES = ["1.*", "2.*", "3.*", "4.*", "5.*", "7.*", "9.*", "10.*"]
"""All but 6 (UTF-8 inside text, which agentd refuses whole) and 12, 13 (compression)."""

LEFT_OUT = ["7.5.1", "9.1.6", "9.2.6", "9.3.*", "9.4.*", "9.5.*", "9.6.*", "9.7.*", "9.8.*"]
"""UTF-8 once more, and what only takes long."""


class Echo(asyncio.Protocol):
    """Sends every message back, by the codec and nothing else of agentd."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.request: bytes | None = b""
        self.decoder = WebSocketDecoder(64 << 20, masked=True, text=True)

    def data_received(self, data: bytes) -> None:
        if self.request is not None:
            self.request += data
            whole = read_request(self.request)
            if whole is None:
                return
            self.transport.write(accept_upgrade(whole[0]))
            self.request, data = None, whole[1]
        frame = self.decoder.whole(data)
        if frame is not None:
            self.take(Opcode.BINARY, frame)
            return
        self.decoder.receive(data)
        try:
            while (event := self.decoder.next_event()) is not None:
                self.take(*event)
        except WebSocketFault as fault:
            self.end(encode_close(fault.close))

    def take(self, opcode: Opcode, payload: bytes) -> None:
        if opcode is Opcode.PING:
            self.transport.write(encode_frame(Opcode.PONG, payload))
        elif opcode is Opcode.CLOSE:
            code = read_close(payload)
            self.end(encode_frame(Opcode.CLOSE, b"" if code == CloseCode.ABSENT else payload))
        elif opcode is not Opcode.PONG:
            self.transport.write(encode_frame(opcode, payload[HEADER.size :]))

    def end(self, last: bytes) -> None:
        self.transport.write(last)
        self.transport.close()


@pytest.mark.long
@pytest.mark.skipif(WSTEST is None, reason="wstest, the Autobahn test suite, is not installed")
async def test_the_codec_passes_autobahn(tmp_path: Path) -> None:
    assert WSTEST is not None
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0)
    url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    spec = {"outdir": str(tmp_path / "out"), "cases": CASES, "exclude-cases": LEFT_OUT}
    spec |= {"servers": [{"agent": "agentd", "url": url}], "exclude-agent-cases": {}}
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    environ = os.environ | {"PYTHONPATH": str(Path(WSTEST).parent.parent)}
    command = [WSTEST, "-m", "fuzzingclient", "-s", str(tmp_path / "spec.json")]
    pipes = {"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.STDOUT}
    tests = await asyncio.create_subprocess_exec(*command, env=environ, cwd=tmp_path, **pipes)
    said, _ = await tests.communicate()
    server.close()
    assert tests.returncode == 0, said.decode()

    cases = json.loads((tmp_path / "out" / "index.json").read_text())["agentd"]
    verdicts = Counter(case["behavior"] for case in cases.values())
    bad = {
        name: case["behavior"]
        for name, case in cases.items()
        if case["behavior"] not in ("OK", "NON-STRICT", "INFORMATIONAL")
        or case["behaviorClose"] not in ("OK", "INFORMATIONAL")
    }
    print(dict(verdicts))
    assert bad == {}
    assert verdicts["OK"] > 100
