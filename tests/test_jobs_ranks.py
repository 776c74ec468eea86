"""Several processes of mlx.launch: files shared out, ranks killed, merged, completed; with no shared folder too."""

import json
import shlex
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack

import pytest
import rule
from command_line import run
from job_files import (
    LAUNCH,
    PREDICT,
    ROOT,
    ended,
    free_ports,
    kill_rank,
    predicted,
    rows,
    started,
    wait_until,
    write_photos,
)

from sapiens_mlx.errors import SapiensError
from sapiens_mlx.jobs import claims, ranks
from sapiens_mlx.jobs.index import Work
from sapiens_mlx.jobs.plan import Item

pytestmark = pytest.mark.skipif(LAUNCH is None, reason="mlx.launch is not installed")


@pytest.fixture
def weights(machine, tiny_size):
    rule.write_tiny(machine, "seg")
    return machine


def merged(capsys, out):
    status, text, _ = run(capsys, "predict", "--merge", out, "--json")
    return status, json.loads(text)


@pytest.mark.parametrize("count", [2, 4])
def test_processes_share_a_folder_out(weights, tmp_path, capsys, count):
    write_photos(tmp_path / "in", 40)
    (tmp_path / "in/bad.jpg").write_text("no photo")
    out = tmp_path / "out"
    status, printed, error = predicted(tmp_path / "in", "--out", out, "--json", launch=("-n", str(count)))
    summaries = [json.loads(line) for line in printed.splitlines()]
    assert status == 0, error
    assert sorted(one["rank"] for one in summaries) == list(range(count))
    assert all(one["shared"] and one["ranks"] == count for one in summaries)
    assert sum(one["done"] for one in summaries) == 40
    assert "exited with code" not in error  # one bad file must not have mlx.launch end the others
    files = [line["file"] for line in rows(out, "manifest.rank-*.jsonl")]
    assert len(files) == len({*files}) == 41
    assert not list(out.glob(".job-*"))
    status, found = merged(capsys, out)
    assert (status, found["done"], found["failed"], found["missing"]) == (1, 40, 1, 0)
    assert found["named"]["failed"] == ["../in/bad.jpg"]
    (tmp_path / "in/bad.jpg").unlink()
    assert merged(capsys, out)[0] == 0
    assert len(rows(out, "manifest.jsonl")) == 41


@pytest.mark.slow
def test_a_rank_that_is_killed_costs_its_file_and_running_again_completes(weights, tmp_path, capsys):
    write_photos(tmp_path / "in", 400)
    out = tmp_path / "out"
    process = started(tmp_path / "in", "--out", out, launch=("-n", "2"))
    wait_until(
        lambda: len(rows(out, "manifest.rank-0.jsonl")) > 3 and len(rows(out, "manifest.rank-1.jsonl")) > 3, process
    )
    kill_rank(process, 1)
    _, _, error = ended(process)
    files = [line["file"] for line in rows(out)]
    assert len(files) == len({*files}) < 400, error
    status, found = merged(capsys, out)
    assert status == 1
    assert (found["files"], found["done"], found["missing"]) == (400, len(files), 400 - len(files))
    assert len(found["named"]["missing"]) == 10
    status, printed, error = predicted(tmp_path / "in", "--out", out, "--json", launch=("-n", "2"))
    assert sum(json.loads(line)["done"] for line in printed.splitlines()) == 400 - len(files), error
    assert merged(capsys, out)[0] == 0
    assert run(capsys, "predict", tmp_path / "in", "--out", out, "--size", "tiny")[1].startswith("0 files done, 400 ")


@pytest.mark.slow
def test_a_rank_that_is_asked_to_leave_hands_its_files_to_the_others(weights, tmp_path, capsys):
    write_photos(tmp_path / "in", 300)
    out = tmp_path / "out"
    process = started(tmp_path / "in", "--out", out, launch=("-n", "2"))
    wait_until(lambda: len(rows(out, "manifest.rank-1.jsonl")) > 3, process)
    kill_rank(process, 1, signal.SIGTERM)
    _, printed, error = ended(process)
    assert "rank 1: stopped" in printed, error
    files = [line["file"] for line in rows(out)]
    assert len(files) == len({*files}) == 300
    assert merged(capsys, out)[0] == 0


@pytest.mark.slow
def test_without_a_shared_folder_each_takes_its_part(weights, tmp_path, capsys):
    write_photos(tmp_path / "in", 60)
    command = shlex.join([*PREDICT, str(tmp_path / "in"), "--size", "tiny", "--out"])
    command = ["sh", "-c", f"exec {command} {shlex.quote(str(tmp_path))}/machine$MLX_RANK"]
    launch = [LAUNCH, "-n", "2", "--starting-port", str(free_ports()), "--env", "OPENBLAS_NUM_THREADS=1"]
    process = subprocess.Popen(
        [*launch, *command],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    _, _, error = ended(process)
    assert "not shared" in error
    parts = [{line["file"] for line in rows(tmp_path / f"machine{rank}")} for rank in range(2)]
    assert len(parts[0] | parts[1]) == 60
    assert not parts[0] & parts[1]
    assert merged(capsys, tmp_path / "machine0")[1]["missing"] == len(parts[1])
    for path in (tmp_path / "machine1").iterdir():  # brought to one machine, as rsync would
        path.rename(tmp_path / "machine0" / path.name)
    assert merged(capsys, tmp_path / "machine0")[0] == 0


def test_one_process_of_mlx_launch_is_a_plain_run(weights, tmp_path):
    (photo,) = write_photos(tmp_path / "in", 1)
    status, printed, error = predicted(photo, "--out", tmp_path / "out", launch=("-n", "1"))
    assert (status, error) == (0, "")
    assert "seg tiny" in printed
    assert not list((tmp_path / "out").glob("manifest*"))


def test_a_plain_run_never_asks_for_other_processes(weights, tmp_path):
    write_photos(tmp_path / "in", 1)
    program = (
        "import sys, sapiens_mlx, mlx.core as mx\n"
        "from tests.page_process import add_tiny; add_tiny()\n"
        "def refuse(*_, **__): raise AssertionError('asked')\n"
        "mx.distributed.init = refuse\n"
        "from sapiens_mlx.__main__ import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", program, "predict", tmp_path / "in", "--size", "tiny", "--out", tmp_path / "out"]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode == 0


def test_hosts_that_cannot_be_met_are_a_sentence(weights, tmp_path, monkeypatch, capsys):
    (tmp_path / "hosts").write_text("no json")
    monkeypatch.setenv("MLX_RANK", "0")
    monkeypatch.setenv("MLX_HOSTFILE", str(tmp_path / "hosts"))
    assert ranks.launched()
    status, out, error = run(capsys, "predict", tmp_path, "--out", tmp_path / "out", "--size", "tiny")
    assert (status, out) == (2, "")
    assert "could not be reached" in error
    assert error.count("\n") == 1


def test_merging_what_is_no_job_is_a_sentence(weights, tmp_path, capsys):
    status, out, error = run(capsys, "predict", "--merge", tmp_path)
    assert (status, out) == (2, "")
    assert "holds no job" in error
    write_photos(tmp_path / "in", 1)
    run(capsys, "predict", tmp_path / "in", "--out", tmp_path / "out", "--size", "tiny")
    (tmp_path / "in/photo 000.png").rename(tmp_path / "elsewhere.png")
    (tmp_path / "in").rmdir()
    status, found = merged(capsys, tmp_path / "out")
    assert status == 1
    assert "is not here" in found["problem"]
    (tmp_path / "out/manifest.jsonl").unlink()
    assert "no manifest" in run(capsys, "predict", "--merge", tmp_path / "out")[2]


# ---- the board, without networks ------------------------------------------------------------------------------------


@pytest.fixture
def board(tmp_path):
    """Makes boards of ranks of two, on one folder."""
    folder = tmp_path / ".job-1"
    for name in ("todo", "taken", "alive"):
        (folder / name).mkdir(parents=True)
    with ExitStack() as stack:

        def make(rank, dead_s=claims.DEAD_S):
            made = claims.Board(folder, rank, 2, threading.Event(), dead_s)
            stack.callback(made.leave)
            return made

        yield make


def items(count):
    return iter([Item(f"../{number}.jpg", str(number), ["seg", "normal"]) for number in range(count)])


def everything(rank, items):
    return items


def test_no_file_is_taken_twice_or_left(board):
    first, second = board(0), board(1)
    first.lay_out(items(100), lambda: 1.0)
    taken, begun = {0: [], 1: []}, threading.Event()

    def work(rank, one):
        for item in one.items(everything):
            taken[rank].append(item.file)
            one.finished(item)
            begun.set()

    other = threading.Thread(target=work, args=(1, second))
    other.start()
    begun.wait()  # on a busy machine the first would be through before the other has begun
    work(0, first)
    other.join()
    assert sorted(taken[0] + taken[1]) == sorted(item.file for item in items(100))
    assert taken[0] and taken[1]


def test_batches_follow_the_pace(board, tmp_path):
    one = board(0)
    one.lay_out(items(100), lambda: claims.BATCH_S / 10)
    next(one.items(everything))
    (batch,) = (tmp_path / ".job-1/taken/0").iterdir()
    assert len(json.loads(batch.read_text())) == 10


def test_the_files_of_a_dead_rank_are_done_by_another(board, tmp_path):
    """A rank that has taken a batch, has done a task of it, and gives no sign of life any more."""
    program = (
        "import sys, threading, pathlib; from sapiens_mlx.jobs.claims import Board\n"
        "one = Board(pathlib.Path(sys.argv[1]), 1, 2, threading.Event())\n"
        "print(next(one.items(lambda rank, items: items)).file, flush=True); sys.stdin.readline()"
    )
    first = board(0, dead_s=1.0)
    first.lay_out(items(20), lambda: 1.0)
    with subprocess.Popen(
        [sys.executable, "-c", program, tmp_path / ".job-1"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        lost = other.stdout.readline().strip()
        other.kill()
    works = [Work(task, "demo", "fp32", {}) for task in ("seg", "normal")]
    held = {"file": lost, "outputs": []} | works[0].row
    other_level = {"file": lost, "outputs": []} | works[1]._replace(level="4bit").row
    kept = [(0, held), (1, other_level)]
    done = {}
    for item in first.items(lambda rank, left: claims.undone(iter(kept), left, works, tmp_path)):
        done[item.file] = item.tasks
        first.finished(item)
    assert len(done) == 20
    assert done[lost] == ["normal"]


def test_what_a_rank_brings_back_as_it_leaves_is_not_overlooked(board, tmp_path, monkeypatch):
    first, second = board(0), board(1)
    first.lay_out(items(1), lambda: 1.0)
    next(second.items(everything))
    first._listing.join()
    listdir = claims.os.listdir

    def leaving(folder):
        if str(folder).endswith("/taken/1"):
            monkeypatch.setattr(claims.os, "listdir", listdir)
            second.leave()
        return listdir(folder)

    monkeypatch.setattr(claims.os, "listdir", leaving)
    assert not first._is_over()
    assert [item.file for item in first.items(everything)] == ["../0.jpg"]


def test_what_goes_wrong_with_listing_is_told_where_files_are_taken(board):
    def broken():
        yield from items(1)
        raise SapiensError("the list ends here")

    one = board(0)
    one.lay_out(broken(), lambda: 0.0)
    with pytest.raises(SapiensError, match="ends here"):
        for item in one.items(everything):
            one.finished(item)


def test_when_rank_0_dies_the_others_end(board, tmp_path):
    second = board(1, dead_s=1.0)
    (tmp_path / ".job-1/alive/0").write_text("once")
    assert list(second.items(everything)) == []
    assert second.orphaned
