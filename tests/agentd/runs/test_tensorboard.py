"""TensorBoard's files: checksums, records, and the bytes of known values."""

import struct

import pytest

from agentd.runs import EventWriter
from agentd.runs.tensorboard import crc32c, cut_events

from ..event_files import read_events


@pytest.mark.parametrize(
    ("data", "crc"),
    [
        (b"123456789", 0xE3069283),
        (b"\0" * 32, 0x8A9136AA),  # RFC 3720, appendix B.4
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
    ],
)
def test_crc32c_of_known_data(data, crc):
    assert crc32c(data) == crc


def test_scalars_come_back(tmp_path):
    writer = EventWriter(tmp_path, clock=lambda: 1.5e9)
    writer.add(1, {"loss/train": 0.5, "accuracy/train": 0.25})
    writer.add(300, {"loss/train": 0.125})

    assert writer.path.name.startswith("events.out.tfevents.1500000000.")
    assert list(read_events(writer.path)) == [
        (1, {"loss/train": 0.5, "accuracy/train": 0.25}),
        (300, {"loss/train": 0.125}),
    ]


def test_the_first_record_is_the_version(tmp_path):
    data = EventWriter(tmp_path, clock=lambda: 2.0).path.read_bytes()

    (size,) = struct.unpack("<Q", data[:8])
    assert size == len(data) - 16
    assert data[12:-4] == b"\x09" + struct.pack("<d", 2.0) + b"\x1a\x0dbrain.Event:2"


def test_damage_is_noticed(tmp_path):
    writer = EventWriter(tmp_path, clock=lambda: 2.0)
    writer.add(1, {"a": 1.0})
    data = bytearray(writer.path.read_bytes())
    data[-6] ^= 1
    writer.path.write_bytes(bytes(data))

    with pytest.raises(ValueError, match="damaged record"):
        list(read_events(writer.path))


def test_later_steps_are_cut_and_strange_files_left(tmp_path):
    """As a resumed run wants it: what a kill cut off goes too."""
    writer = EventWriter(tmp_path, clock=lambda: 2.0)
    for step in (10, 20, 30):
        writer.add(step, {"a": float(step)})
    writer.path.write_bytes(writer.path.read_bytes() + b"\x18\0\0\0")
    other = tmp_path / "events.out.tfevents.1.host.1.v2"
    other.write_bytes(b"not ours")

    cut_events(tmp_path, 20)

    assert list(read_events(writer.path)) == [(10, {"a": 10.0}), (20, {"a": 20.0})]
    assert other.read_bytes() == b"not ours"
