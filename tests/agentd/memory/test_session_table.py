"""The session table: whole records or none, across kills and boots."""

import pytest

from agentd.memory import mapped_file as mapped
from agentd.memory.session_table import SessionTable, TableFull

ID, RUN = bytes(range(16)), bytes(range(16, 32))


@pytest.fixture
def open_table(tmp_path):
    return lambda slots=8: SessionTable.open(tmp_path / "sessions.bin", slots)


def test_sessions_are_there_after_the_daemon_was_killed(open_table):
    table = open_table()
    one = table.claim(ID, RUN, "catch", "train", 16, 0)
    two = table.claim(RUN, ID, "a" * 64, "eval", 1, 16)
    table.last_seq[[one.slot, two.slot]] = [2**40, 7]
    table.cut(two.slot, 999)

    again = open_table()  # the first one was never closed
    assert again.live() == [one._replace(last_seq=2**40), two._replace(last_seq=7, since=999)]
    assert (one.id, one.run, one.agent, one.role) == (ID, RUN, "catch", "train")
    assert (one.streams, one.base, one.since) == (16, 0, 0)


def test_released_slots_are_given_again_and_serials_never(open_table):
    table = open_table()
    serials = set()
    for _ in range(20):
        record = table.claim(ID, RUN, "catch", "train", 1, 0)
        assert record.last_seq == record.since == 0
        table.last_seq[record.slot] = 5
        table.cut(record.slot, 5)
        serials.add(record.serial)
        table.release(record.slot)
        table.release(record.slot)
    assert len(serials) == 20
    assert 0 not in serials

    again = open_table()
    assert again.live() == []
    assert again.claim(ID, RUN, "catch", "train", 1, 0).serial not in serials
    with pytest.raises(KeyError):
        again.record(7)


def test_a_new_run_is_noted_with_the_cut(open_table):
    table = open_table()
    slot = table.claim(ID, RUN, "catch", "train", 1, 0).slot
    table.cut(slot, 12, run=ID)
    assert (table.record(slot).run, table.record(slot).since) == (ID, 12)


def test_a_full_table_says_so_and_bad_ids_are_refused(open_table):
    table = open_table(2)
    for bad in ({"id": b"short"}, {"run": b""}, {"agent": "x" * 65}, {"role": "x" * 9}):
        values = {"id": ID, "run": RUN, "agent": "catch", "role": "train"} | bad
        with pytest.raises(ValueError, match="want"):
            table.claim(**values, streams=1, base=0)
    for _ in range(2):
        table.claim(ID, RUN, "catch", "train", 1, 0)
    with pytest.raises(TableFull):
        table.claim(ID, RUN, "catch", "train", 1, 0)


def test_a_record_that_was_being_written_when_the_power_went_is_none(open_table, monkeypatch):
    table = open_table()
    serial = table.claim(ID, RUN, "catch", "train", 1, 0).serial
    monkeypatch.setattr(mapped, "boot_id", lambda: b"another boot".ljust(36))
    again = open_table()
    assert again.live() == []
    assert again.claim(ID, RUN, "catch", "train", 1, 0).serial > serial


def test_a_closed_table_survives_a_boot(open_table, monkeypatch):
    table = open_table()
    record = table.claim(ID, RUN, "catch", "train", 1, 0)
    table.close()
    monkeypatch.setattr(mapped, "boot_id", lambda: b"another boot".ljust(36))
    assert open_table().live() == [record]
