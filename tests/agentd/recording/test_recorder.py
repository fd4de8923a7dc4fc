"""The recorder alone: secrets, rotation, bounds, a full disk, both carriers."""

import errno
import logging
import time

import msgpack
import pytest

from agentd.protocol.codec import encode
from agentd.protocol.messages import Goodbye, Hello, Welcome
from agentd.recording import recorder as module
from agentd.recording.file import read_session
from agentd.recording.recorder import Recorder

SECRET = b"S" * 16


def hello(resume=None):
    return encode(
        Hello(protocol=(1, 2), client="c", role="train", run=bytes(16), agent="a", resume=resume,
              token="a-secret-token")
    )  # fmt: skip


def welcome(session=SECRET):
    return encode(
        Welcome(protocol=2, session=session, agent="a", version=0, max_frame=1 << 20, max_rows=9,
                window=8, heartbeat_s=15.0, resumed=False, last_seq=0)
    )  # fmt: skip


def converse(recorder, session=SECRET, resume=None, web=False):
    tap = recorder.tap()
    if web:
        tap.received(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
        tap.received(b"\r\n") if web == "two" else None
    data = hello(resume)
    tap.received(data[:9])
    tap.received(data[9:])
    tap.sent(welcome(session))
    tap.received(encode(Goodbye(reason="client_done")))
    tap.ended()


def kinds(path):
    entries = read_session(path).entries
    words = {"=": lambda e: e.data.decode(), ">": kind, "<": kind}
    return [words[entry.mark](entry) for entry in entries]


def kind(entry):
    return msgpack.unpackb(entry.data[4:])["type"]


ONE = ["connect", "hello", "welcome", "goodbye", "end"]


def test_a_session_is_one_file_over_its_connections_and_has_no_secret(tmp_path):
    recorder = Recorder(tmp_path)
    converse(recorder)
    converse(recorder, resume=SECRET)
    converse(recorder, session=b"T" * 16)
    recorder.close()

    first, second = sorted(tmp_path.iterdir())
    assert kinds(first) == ONE + ONE
    assert kinds(second) == ONE
    for path in (first, second):
        text = path.read_text()
        assert SECRET.hex() not in text
        assert b"a-secret-token".hex() not in text


def test_frames_of_a_websocket_follow_its_request(tmp_path):
    recorder = Recorder(tmp_path)
    converse(recorder, web=True)
    recorder.close()

    (path,) = tmp_path.iterdir()
    assert kinds(path) == ONE


def test_a_full_file_ends_and_says_so(tmp_path):
    recorder = Recorder(tmp_path, file_bytes=400)
    converse(recorder)
    recorder.close()

    (path,) = tmp_path.iterdir()
    assert kinds(path)[-1] == "full"
    assert path.stat().st_size < 700


def test_the_oldest_files_go_first(tmp_path):
    old = [tmp_path / f"2020010{day}-000000-00001-a.session" for day in (1, 2)]
    for path in old:
        path.write_bytes(bytes(1000))
    (tmp_path / "notes.txt").write_text("not ours")
    recorder = Recorder(tmp_path, file_bytes=500, folder_bytes=1600)
    converse(recorder)
    recorder.close()

    assert not old[0].exists()
    assert old[1].exists()
    assert (tmp_path / "notes.txt").exists()


def test_a_full_disk_ends_the_recording_and_nothing_else(tmp_path, monkeypatch, caplog):
    def refuse(self, entry):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module._OpenFile, "write", refuse)
    recorder = Recorder(tmp_path)
    with caplog.at_level(logging.ERROR, "agentd.recording"):
        converse(recorder)
        end = time.monotonic() + 20
        while not recorder.stopped:
            assert time.monotonic() < end
            time.sleep(0.01)
        converse(recorder)
        recorder.close()

    assert "why=No space left on device" in caplog.text
    assert caplog.text.count("recording stopped") == 1


def test_what_the_disk_cannot_take_in_time_ends_the_recording(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(module, "WAITING_BYTES", 1000)
    recorder = Recorder(tmp_path)
    tap = recorder.tap()
    with caplog.at_level(logging.ERROR, "agentd.recording"):
        tap.received(bytes(2000))
    recorder.close()

    assert recorder.stopped
    assert "the disk is too slow" in caplog.text


def test_a_folder_that_cannot_be_is_an_os_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        Recorder(tmp_path / "file")
