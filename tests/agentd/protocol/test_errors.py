"""One closed table of codes; a fault and its message say the same."""

from pathlib import Path

import pytest

from agentd.protocol import messages as m
from agentd.protocol.codec import HEADER, decode_server, encode
from agentd.protocol.errors import Code, FrameTooLarge, ProtocolError

CONFORMANCE = Path(__file__).resolve().parents[2] / "conformance"
FATAL = {
    *("FRAME_TOO_LARGE", "BAD_FRAME", "BAD_MESSAGE", "UNEXPECTED_MESSAGE", "BAD_SEQ"),
    *("HELLO_TIMEOUT", "IDLE_TIMEOUT", "SLOW_READER", "SHUTTING_DOWN", "LIMIT"),
    *("UNSUPPORTED_VERSION", "BAD_HELLO", "SCHEMA_MISMATCH", "UNAUTHORIZED"),
    "UNSUPPORTED_ACTION",
}


def test_every_code_has_its_row() -> None:
    for code in Code:
        assert code.value == code.name
        assert code.goodbye in m.GOODBYE_REASONS
        assert code.meaning.endswith(".")
        assert code.fatal == (code.value in FATAL)


@pytest.mark.parametrize("code", Code)
def test_a_fault_becomes_its_message(code: Code) -> None:
    fault = ProtocolError(
        code, "why", seq=3, field="obs.x", expected="this", got="that", retry_ms=5
    )

    message = decode_server(encode(fault.to_message())[HEADER.size :])

    assert message == m.Error(
        code=code.value,
        message="why",
        fatal=code.fatal,
        seq=3,
        field="obs.x",
        expected="this",
        got="that",
        retry_ms=5,
    )
    assert fault.code is code


def test_fatal_may_depend_on_the_state() -> None:
    assert not ProtocolError(Code.FORBIDDEN, "no").fatal
    assert ProtocolError(Code.FORBIDDEN, "no", fatal=True).to_message().fatal


def test_a_fault_reads_as_a_line() -> None:
    assert str(ProtocolError(Code.BAD_MASK, "row 2: nothing legal")) == (
        "BAD_MASK: row 2: nothing legal"
    )


def test_a_long_frame_names_both_numbers() -> None:
    fault = FrameTooLarge(2**31, 100)

    assert (fault.code, fault.got, fault.expected) == (
        Code.FRAME_TOO_LARGE,
        str(2**31),
        "1..100",
    )


def test_every_code_is_met_over_a_socket() -> None:
    walk = "".join(path.read_text(encoding="utf-8") for path in CONFORMANCE.glob("test_*.py"))

    assert [code.value for code in Code if f'"{code.value}"' not in walk] == []


@pytest.mark.parametrize(
    ("head", "guess"),
    [
        (b"GET ", "an HTTP request"),
        (b"\x16\x03\x01\x02", "TLS"),
        (b'{"ty', "JSON"),
        ((300).to_bytes(4, "big"), "reversed"),
    ],
)
def test_a_length_that_is_none_is_guessed(head, guess):
    fault = FrameTooLarge(int.from_bytes(head, "little"), 8 * 2**20)
    assert guess in fault.message
    assert FrameTooLarge(2**25, 2**20).message == "a frame of 33554432 bytes is over the limit"
