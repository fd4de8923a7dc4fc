"""PROTOCOL.md is executed: its bytes are real frames, its tables are the code's tables."""

import json
import re
from typing import Any, get_args

import msgpack
import pytest

from agentd.protocol import messages as m
from agentd.protocol.actions import Heads, read_action
from agentd.protocol.codec import CONTROL_FRAME, HEADER, decode_client, decode_server, encode
from agentd.protocol.connection import NOT_FOR_ADMIN, TRANSITIONS, kind_of
from agentd.protocol.errors import Code
from agentd.protocol.schema import Schema
from agentd.protocol.upgrade import GET, MOST_HEAD, MOST_HEADERS, accept_upgrade, read_request
from agentd.protocol.websocket import (
    CLOSE_CODES,
    CloseCode,
    Opcode,
    encode_close,
    encode_frame,
    encode_message,
)

EXAMPLE = re.compile(
    r"```json (?P<who>client|server) (?P<name>[a-z-]+)\n(?P<json>.*?)```\n\n"
    r"```hex (?P=who) (?P=name)\n(?P<hex>[0-9a-f\n]*?)```",
    re.S,
)


def examples(document: str) -> list[tuple[str, str, Any, bytes]]:
    """(who, name, fields, frame) of every example."""
    return [
        (e["who"], e["name"], json.loads(e["json"]), bytes.fromhex(e["hex"].replace("\n", "")))
        for e in EXAMPLE.finditer(document)
    ]


def plain(value: Any) -> Any:
    """A decoded msgpack value in the document's notation: a bin is ``hex:…``."""
    if isinstance(value, bytes):
        return "hex:" + value.hex()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def table(document: str, header: str) -> list[list[str]]:
    """The rows below a table's header line, each a list of cells."""
    lines = document[document.index(header) :].splitlines()[2:]
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def test_every_fence_with_a_name_is_an_example(document: str) -> None:
    fences = re.findall(r"^```(?:json|hex) ", document, re.M)

    assert len(fences) == 2 * len(examples(document)) > 60


def test_examples_are_byte_exact(document: str) -> None:
    for who, name, fields, frame in examples(document):
        (length,) = HEADER.unpack_from(frame)
        body = frame[HEADER.size :]
        assert length == len(body), name
        assert plain(msgpack.unpackb(body)) == fields, name
        decoded = decode_client(body) if who == "client" else decode_server(body)
        assert kind_of(decoded) == fields["type"], name
        assert encode(decoded) == frame, name


def test_every_message_type_has_an_example(document: str) -> None:
    shown = {"client": set(), "server": set()}
    for who, _, fields, _ in examples(document):
        shown[who].add(fields["type"])
    both = {"ping", "pong", "goodbye"}

    assert shown["client"] | both == {kind_of(kind) for kind in get_args(m.ClientMessage)}
    assert shown["server"] | both == {kind_of(kind) for kind in get_args(m.ServerMessage)}
    assert both <= shown["client"] | shown["server"]


def test_hello_examples_have_valid_schemas(document: str) -> None:
    for _, name, fields, _ in examples(document):
        if fields["type"] == "hello" and "observation" in fields:
            space = read_action(fields["action"], fields["protocol"][1])
            known = {"kind": "discrete", "n": 2} if isinstance(space, Heads) else fields["action"]
            schema = Schema.from_wire(fields["observation"], known)
            assert schema.n_actions > 1, name


def test_code_table_is_the_codes(document: str) -> None:
    rows = table(document, "| code | fatal | goodbye | when |")

    assert rows == [
        [f"`{code}`", "yes" if code.fatal else "no", f"`{code.goodbye}`", code.meaning]
        for code in Code
    ]


def test_reason_table_is_the_reasons(document: str) -> None:
    rows = table(document, "| reason | |")

    assert [row[0].strip("`") for row in rows] == list(m.GOODBYE_REASONS)
    assert {code.goodbye for code in Code} <= set(m.GOODBYE_REASONS)


def test_state_table_is_the_transitions(document: str) -> None:
    shown: dict[str, dict[str, str]] = {}
    for state, cell in table(document, "| state | message → next state |"):
        moves = shown[state.strip("`")] = {}
        for part in cell.split("; "):
            if part != "–":
                kinds, after = part.split(" → ")
                moves |= {kind.strip("`"): after.strip("`") for kind in kinds.split(", ")}

    assert shown == {
        state.value: {kind_of(kind): after.value for kind, after in moves.items()}
        for state, moves in TRANSITIONS.items()
    }
    assert {kind_of(kind) for kind in NOT_FOR_ADMIN} == {"step", "teach", "log"}


@pytest.mark.parametrize("rule", range(1, 20))
def test_rule_has_its_section(document: str, rule: int) -> None:
    assert re.search(rf"^## R{rule} ", document, re.M)


def test_websocket_examples_are_byte_exact(document: str) -> None:
    shown = {
        (who, name): text.rstrip("\n")
        for who, name, text in re.findall(
            r"^```(?:http|frame) (client|server) ([a-z]+)\n(.*?)```", document, re.M | re.S
        )
    }
    frames = {name: frame for _, name, _, frame in examples(document)}
    request = shown.pop(("client", "upgrade")).replace("\n", "\r\n").encode() + b"\r\n\r\n"
    whole = read_request(request)
    assert whole is not None
    assert whole[0].wants_websocket
    said = shown.pop(("server", "upgrade")).replace("\n", "\r\n").encode() + b"\r\n\r\n"
    assert accept_upgrade(whole[0]) == said

    key = bytes.fromhex("37fa213d")
    assert {place: bytes.fromhex(text) for place, text in shown.items()} == {
        ("server", "ping"): encode_message(frames["ping"]),
        ("client", "pong"): encode_frame(Opcode.BINARY, frames["pong"][HEADER.size :], key=key),
        ("server", "close"): encode_close(CloseCode.NORMAL, "client_done"),
    }


def test_close_code_table_is_the_carrier_s(document: str) -> None:
    rows = {int(code): cell for code, cell in table(document, "| code | after |")}

    assert {*rows} == {*CloseCode} - {CloseCode.ABSENT}
    for reason, code in CLOSE_CODES.items():
        assert f"`{reason}`" in rows[code], reason


def test_numbers_in_the_text_are_the_code_s(document: str) -> None:
    assert f"max_frame is {CONTROL_FRAME};" in document
    assert f"longer than {CONTROL_FRAME} bytes" in document
    assert f"these bytes say {int.from_bytes(GET, 'little')}," in document
    assert f"more than {MOST_HEAD // 1024} KiB or {MOST_HEADERS} headers" in document


def test_an_answer_is_no_longer_than_the_text_says() -> None:
    rows, branches, actions = 3, 2, 5
    act = m.ActReply(
        seq=2**63,
        action=bytes(4 * branches * rows),
        version=2**63,
        q=bytes(4 * actions * rows),
        explored=bytes(rows),
    )

    assert len(encode(act)) - HEADER.size <= rows * (4 * branches + 4 * actions + 1) + 128
