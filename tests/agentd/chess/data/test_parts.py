"""Parts of a dump give the folder of shards that one reader gives, whatever stops in between."""

import hashlib
import io
import os
import signal
from pathlib import Path

import pytest

from agentd.chess.data.filter_file import FilterConfig
from agentd.chess.data.parsers import ParserPool, open_reader
from agentd.chess.data.parts import ENDS, FileDigest, part_blocks, part_tasks, parts_of, read_part
from agentd.chess.data.preparation import Preparation, PreparationJob, begin
from agentd.errors import DamagedFile, JobFailed
from agentd.games.chess.data.blocks import read_block
from agentd.games.chess.data.dump import DumpBlock
from agentd.games.chess.data.frames import HEADER, DumpPart

WANTED = FilterConfig(rated=False, min_clock_s=0, min_plies=1, games_per_player=9)
WHOLE, CUT = 2**40, 1


def pack(text: bytes, size: int) -> bytes:
    import zstandard

    compressor = zstandard.ZstdCompressor()
    frames = [compressor.compress(text[at : at + size]) for at in range(0, len(text), size)]
    return b"".join(HEADER.pack(b"\x50\x2a\x4d\x18", 4, len(f)) + f for f in frames)


class HerePool:
    """Parsers that work in this process; after ``fail_after`` parts the run dies."""

    def __init__(self, fail_after: int | None = None) -> None:
        self._reader, self._wanted = open_reader("python-chess"), WANTED.build()
        self._left, self.read = fail_after, list[str]()

    def __enter__(self):
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def parse(self, blocks):
        for block in blocks:
            yield (
                block,
                read_block(block.data, self._reader, self._wanted, cut_off=block.cut_off),
            )

    def read_parts(self, tasks):
        for task in tasks:
            if self._left is not None and len(self.read) >= self._left:
                raise KeyboardInterrupt
            read_part(task, self._reader, self._wanted)
            self.read.append(Path(task.target).name)
            yield task


def job_of(dumps: tuple[Path, ...], folder: Path, part_bytes: int) -> PreparationJob:
    folder.mkdir(exist_ok=True)
    return PreparationJob(dumps, folder, WANTED, 100, "python-chess", 2, part_bytes)


def prepare(job: PreparationJob, parsers=None) -> dict[str, str]:
    Preparation(job, begin(job), lambda read: None, parsers).run()
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(job.folder.iterdir())
    }


@pytest.fixture(scope="module")
def dump(tmp_path_factory: pytest.TempPathFactory, write_games) -> Path:
    path = tmp_path_factory.mktemp("dump") / "games.pgn.zst"
    path.write_bytes(pack(write_games(40, seed=5, plies=24), 1500))
    return path


@pytest.fixture(scope="module")
def whole(dump: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What one reader makes of the dump, twice: as two dumps."""
    return prepare(job_of((dump, dump), tmp_path_factory.mktemp("whole"), WHOLE), HerePool())


def test_parts_on_processes_give_the_same_folder(
    dump: Path, whole: dict[str, str], tmp_path: Path
) -> None:
    assert len(parts_of(dump, CUT)) > 10
    assert prepare(job_of((dump, dump), tmp_path / "parts", CUT)) == whole


@pytest.mark.parametrize("after", [0, 3, 14, 25])
def test_a_killed_run_goes_on_and_gives_the_same_folder(
    dump: Path, whole: dict[str, str], tmp_path: Path, after: int
) -> None:
    job = job_of((dump, dump), tmp_path / "parts", CUT)
    with pytest.raises(KeyboardInterrupt):
        prepare(job, HerePool(after))
    shards = list(job.folder.glob("shard-*"))
    again = HerePool()

    assert prepare(job, again) == whole
    assert after < 14 or (shards and len(again.read) < 2 * len(parts_of(dump, CUT)) - after // 2)


def test_a_run_of_one_reader_goes_on_in_parts(
    dump: Path, whole: dict[str, str], tmp_path: Path
) -> None:
    job = job_of((dump, dump), tmp_path / "parts", WHOLE)

    def watch(read: int) -> None:
        if (job.folder / "shard-00002.bin").exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Preparation(job, begin(job), watch, HerePool()).run()

    assert prepare(job_of((dump, dump), job.folder, CUT), HerePool()) == whole


def test_a_dump_that_breaks_off_is_told_as_by_one_reader(dump: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.zst"
    data = dump.read_bytes()
    broken.write_bytes(data[: len(data) * 2 // 3])
    folders = [tmp_path / "a", tmp_path / "b"]

    one, parts = (
        prepare(job_of((broken, dump), folder, size), HerePool())
        for folder, size in zip(folders, (WHOLE, CUT), strict=True)
    )

    assert one == parts


def test_a_pool_that_gave_up_a_dump_parses_the_next(dump: Path, tmp_path: Path) -> None:
    tasks = part_tasks(dump, 0, parts_of(dump, CUT), tmp_path)
    with ParserPool(1, "python-chess", WANTED.build()) as pool:
        assert next(pool.read_parts(tasks)) == tasks[0]
        games = list(pool.parse([DumpBlock(0, 0, b'[Event "?"]\n[Result "1-0"]\n\n1. e4 1-0\n')]))
        os.kill(pool._processes[0].pid, signal.SIGKILL)
        with pytest.raises(JobFailed, match="died"):
            list(pool.read_parts(tasks))

    assert len(games) == len(games[0][1].games) == 1


def test_a_torn_file_of_a_part_is_told(dump: Path, tmp_path: Path) -> None:
    (task, *_) = part_tasks(dump, 0, parts_of(dump, CUT), tmp_path)
    read_part(task, open_reader("python-chess"), WANTED.build())
    target = Path(task.target)
    target.write_bytes(target.read_bytes()[:-9])

    with pytest.raises(DamagedFile, match="part-000-000000000000"):
        list(part_blocks(task, 0))


def test_old_lines_and_pipes_have_no_parts(write_games, tmp_path: Path) -> None:
    old = tmp_path / "old.zst"
    old.write_bytes(pack(write_games(9).replace(b"\n", b"\r"), 700))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    assert parts_of(old, CUT) == parts_of(pipe, CUT) == []


def test_the_digest_of_what_was_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc" * 999)
    digests = [FileDigest(path), FileDigest(path)]
    for each in digests:
        each.start()

    assert digests[0].value() == hashlib.sha256(b"abc" * 999).hexdigest()
    assert digests[1].value(5) == hashlib.sha256(b"abcab").hexdigest()


def test_a_line_torn_by_a_crash_is_no_end(tmp_path: Path) -> None:
    from agentd.chess.data.parts import PartEnds, PartTask

    (tmp_path / ENDS).write_text('["a.blocks", 90]\n["b.blo')
    tasks = [PartTask("d", 9, DumpPart(0, 1), f"/x/{name}.blocks") for name in "abc"]

    assert PartEnds(tmp_path).remaining(tasks, 100) == (tasks[1:], 90)
    assert PartEnds(tmp_path).remaining(tasks, 89) == (tasks, 0)
    assert io.StringIO((tmp_path / ENDS).read_text()).readline().endswith("\n")
