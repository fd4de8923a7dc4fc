"""Chess measured: ``bench_chess.py prepare`` reads a dump with each reader and with python-chess.

The peer is ``chess.pgn.read_game`` in one process with a visitor that only counts half-moves, which
is less than ``agentd chess prepare`` does: that also decompresses, filters, packs, hashes, writes.
Runs alternate; the figures are medians. ``cpu_ratio`` compares plies per second of CPU time, which
a busy machine changes less. Peak memory is the sum over all processes of a run.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import chess.pgn

from agentd.games.chess.data.dump import DumpBlocks, read_dump

DATA = Path(os.environ.get("AGENTD_DATA", Path(__file__).parents[2] / "shared" / "data"))
DUMP = DATA / "lichess" / "games" / "rapid_eval_train.pgn.zst"
READERS = ("python-chess", "rust")


class Counter(chess.pgn.BaseVisitor[int]):
    """Counts a game's half-moves; variations are skipped."""

    def begin_game(self) -> None:
        self.plies = 0

    def begin_variation(self) -> chess.pgn.SkipType:
        return chess.pgn.SKIP

    def visit_move(self, board: chess.Board, move: chess.Move) -> None:
        self.plies += 1

    def result(self) -> int:
        return self.plies


def alone(dump: Path, games: int) -> tuple[float, float]:
    """Return plies a second of python-chess, by the clock and of CPU time, over some games."""
    with dump.open("rb") as file:
        blocks = itertools.islice(DumpBlocks(read_dump(file), file), max(1, games // 400))
        text = io.StringIO(b"".join(block.data for block in blocks).decode("utf-8", "replace"))
    done, plies, began, cpu = 0, 0, time.perf_counter(), time.process_time()
    while done < games and (count := chess.pgn.read_game(text, Visitor=Counter)) is not None:
        done, plies = done + 1, plies + count
    return plies / (time.perf_counter() - began), plies / (time.process_time() - cpu)


def prepare(dump: Path, reader: str, workers: int) -> dict[str, float]:
    """Run ``agentd chess prepare`` once; its report and ``peak_mib`` of its processes together."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "agentd", "chess", "prepare", str(dump), "--out", folder]
        command += ["--reader", reader, "--workers", str(workers), "--json", "-q"]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        peak = [0.0]
        watcher = threading.Thread(target=_watch, args=(process.pid, peak), daemon=True)
        watcher.start()
        output, _ = process.communicate()
        watcher.join()
        if process.returncode:
            raise SystemExit(f"chess prepare failed: {process.returncode}")
        report: dict[str, float] = json.loads(output)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return report | {"peak_mib": peak[0], "cpu": report["plies"] / cpu}


def _watch(pid: int, peak: list[float]) -> None:
    """Keep the greatest memory of ``pid`` and its children in ``peak`` (MiB) while it lives."""
    while True:
        try:
            family = [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
            peak[0] = max(peak[0], sum(_proportional_mib(one) for one in family))
        except OSError:
            return
        if _proportional_mib(pid) == 0:
            return
        time.sleep(0.1)


def _proportional_mib(pid: int) -> float:
    """A process's memory in MiB, what it shares divided among those who share it."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    found = [line.split()[1] for line in text.splitlines() if line.startswith("Pss:")]
    return int(found[0]) / 1024 if found else 0.0


def ten_times(dump: Path, folder: Path) -> Path:
    """Write ``dump`` ten times over, as frames that follow each other."""
    path = folder / "ten.pgn.zst"
    with path.open("wb") as file:
        for _ in range(10):
            file.write(dump.read_bytes())
    return path


def run_prepare(
    dump: Path, repeats: int, workers: int, games: int, times_ten: bool
) -> dict[str, object]:
    """Measure; return medians, ratios to python-chess alone, and the environment."""
    peer: list[tuple[float, float]] = []
    ours: dict[str, list[dict[str, float]]] = {reader: [] for reader in READERS}
    for _ in range(repeats):
        for reader in READERS:
            peer.append(alone(dump, games))
            ours[reader].append(prepare(dump, reader, workers))
    single, single_cpu = (statistics.median(speeds) for speeds in zip(*peer, strict=True))
    result: dict[str, object] = {"peer_plies_per_second": round(single)}
    for reader, runs in ours.items():
        plies = statistics.median(run["plies_per_second"] for run in runs)
        result[reader] = {
            "games_per_second": statistics.median(run["games_per_second"] for run in runs),
            "plies_per_second": plies,
            "ratio": round(plies / single, 2),
            "cpu_ratio": round(statistics.median(run["cpu"] for run in runs) / single_cpu, 2),
            "peak_mib": round(max(run["peak_mib"] for run in runs)),
        }
    if times_ten:
        with tempfile.TemporaryDirectory() as folder:
            report = prepare(ten_times(dump, Path(folder)), "rust", workers)
            result["ten_times"] = {
                name: report[name] for name in ("games", "plies_per_second", "peak_mib")
            }
    result["environment"] = f"{platform.processor() or platform.machine()}, {workers} workers"
    return result


def main() -> None:
    """Parse the command line and print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["prepare"])
    parser.add_argument("--dump", type=Path, default=DUMP)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--games", type=int, default=4000, help="games that the peer reads a run")
    parser.add_argument("--ten-times", action="store_true", help="also the dump ten times over")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not options.dump.is_file():
        raise SystemExit(f"no dump {options.dump}: set AGENTD_DATA or name one with --dump")
    result = run_prepare(
        options.dump, options.repeats, options.workers, options.games, options.ten_times
    )
    if options.json:
        print(json.dumps(result))
        return
    print(f"python-chess alone: {result['peer_plies_per_second']:,} plies/s")
    for name in (*READERS, "ten_times"):
        if name in result:
            print(f"{name}: {result[name]}")
    print(result["environment"])


if __name__ == "__main__":
    main()
