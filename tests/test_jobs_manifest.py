"""The manifest and what is known by it: lines that a kill cut off, names that were given, what counts as done."""

import json
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from sapiens_mlx import predict_files
from sapiens_mlx.errors import SapiensError
from sapiens_mlx.jobs import manifest
from sapiens_mlx.jobs.index import Index, Work
from sapiens_mlx.jobs.inputs import Found
from sapiens_mlx.jobs.plan import Plan
from sapiens_mlx.predict_files import MOST_STEM_BYTES

SEG = Work("seg", "demo", "fp32", {})


def row(file, **fields):
    return {"file": file, "stem": file, "outputs": []} | SEG.row | fields


def test_a_line_that_was_cut_off_costs_that_line_alone(tmp_path):
    with manifest.Manifest(tmp_path) as book:
        book.add(row("a.jpg"))
        book.add(row("b.jpg"))
    with book.path.open("ab") as file:
        file.truncate(book.path.stat().st_size - 20)
    with manifest.Manifest(tmp_path) as book:
        book.add(row("c.jpg"))
    assert [found["file"] for _, found in manifest.rows(book.path)] == ["a.jpg", "c.jpg"]


def test_names_that_a_mac_takes_for_one_get_numbers(tmp_path):
    with closing(Index(tmp_path)) as index:
        assert index.stem("caf\u00e9.jpg", "caf\u00e9") != index.stem("cafe\u0301.jpg", "cafe\u0301")
    stems = [stem for stem, _ in predict_files.stems(["a/caf\u00e9.jpg", "b/cafe\u0301.jpg", "c/CAFE\u0301.png"])]
    assert stems == ["caf\u00e9", "cafe\u0301-2", "CAFE\u0301-3"]


@pytest.mark.parametrize(
    "line", [b"\x00\xff", b"[]", b"{}", b'{"file": 1}', b"[" * 100_000, json.dumps(row("a") | {"options": 3}).encode()]
)
def test_lines_that_are_no_rows_are_passed_over(tmp_path, line):
    (tmp_path / "manifest.jsonl").write_bytes(line + b"\n" + json.dumps(row("b.jpg")).encode() + b"\n")
    assert [found["file"] for _, found in manifest.rows(tmp_path / "manifest.jsonl")] == ["b.jpg"]


def test_offsets_lead_back_to_lines_with_any_name(tmp_path):
    names = ["line\nbreak.jpg", os.fsdecode(b"\xff.jpg"), "日本 x.jpg", 'quote".jpg']
    with manifest.Manifest(tmp_path) as book:
        for name in names:
            book.add(row(name))
    index = Index(tmp_path)
    assert [index.find(name, SEG)["file"] for name in names] == names
    assert [index.stem(name, "other") for name in names] == names


def test_a_second_run_into_the_same_folder_is_refused(tmp_path):
    program = (
        "import sys; from pathlib import Path; from sapiens_mlx.jobs.manifest import Manifest\n"
        "book = Manifest(Path(sys.argv[1])); print('open', flush=True); sys.stdin.readline()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, tmp_path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
    ) as other:
        assert other.stdout.readline() == b"open\n"
        assert manifest.being_written(tmp_path)
        with pytest.raises(SapiensError, match="Another run"):
            manifest.Manifest(tmp_path)
        manifest.Manifest(tmp_path, rank=1).close()
        other.kill()
    manifest.Manifest(tmp_path).close()
    assert not manifest.being_written(tmp_path)


def test_a_full_disk_is_told(tmp_path):
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    (tmp_path / "manifest.jsonl").symlink_to("/dev/full")
    with pytest.raises(SapiensError, match="Free some space"), manifest.Manifest(tmp_path) as book:
        book.add(row("a.jpg"))


def test_the_newest_line_counts_whichever_manifest_holds_it(tmp_path):
    lines = {
        "manifest.jsonl": row("a.jpg", time="2026-01-02", error="late") | {"outputs": None},
        "manifest.rank-1.jsonl": row("a.jpg", time="2026-01-03", seconds={"network": 3}),
        "manifest.rank-0.jsonl": row("a.jpg", time="2026-01-01", seconds={"network": 1}),
        "manifest.other.jsonl": row("a.jpg", time="2026-01-09"),
    }
    for name, line in lines.items():
        (tmp_path / name).write_text(json.dumps(line) + "\n")
    assert Index(tmp_path).find("a.jpg", SEG)["seconds"] == {"network": 3}
    assert len(list(Index(tmp_path).newest())) == 1


# ---- names ----------------------------------------------------------------------------------------------------------


def test_equal_stems_get_numbers_and_keep_them(tmp_path):
    index = Index(tmp_path)
    files = ["a.jpg", "a.png", "A.tif", "a-2.jpg", "sub/a.jpg"]
    given = [index.stem(file, str(Path(file).with_suffix(""))) for file in files]
    assert given == ["a", "a-2", "A-3", "a-2-2", "sub/a"]
    with manifest.Manifest(tmp_path) as book:
        for file, stem in zip(files, given, strict=True):
            book.add(row(file, stem=stem))
    again = Index(tmp_path)
    assert again.stem("0.jpg", "a") == "a-4"
    assert [again.stem(file, str(Path(file).with_suffix(""))) for file in reversed(files)] == given[::-1]


def test_a_name_too_long_for_its_endings_is_shortened_and_stays_its_own(tmp_path):
    index = Index(tmp_path)
    names = ["日" * 80 + str(number) for number in range(3)]
    given = [index.stem(f"in/{name}.jpg", f"in/{name}") for name in names]
    assert len({*given}) == 3
    alone = [stem for stem, _ in predict_files.stems([f"in/{name}.jpg" for name in names])]
    assert [f"in/{stem}" for stem in alone] == given
    assert all(len(os.fsencode(Path(stem).name)) <= MOST_STEM_BYTES + 2 for stem in given)


@pytest.mark.parametrize(
    ("out", "expected"),
    [("", ["results/in/x", "in-", "b"]), ("in/out", ["in/x", "in-", "b"]), ("elsewhere", ["in/x", "in-", "b"])],
)
def test_no_result_lands_in_a_folder_that_is_read(tmp_path, out, expected):
    """in/in/x.jpg would be mirrored to in/x_seg.png below the folder that `in` lies in."""
    root = str(tmp_path / "in")
    found = [
        Found(f"{root}/in/x.jpg", "in/x", root=root),
        Found(f"{root}/in-.jpg", "in-", root=root),
        Found(f"{tmp_path}/named/b.jpg", "b"),
    ]
    (tmp_path / out).mkdir(parents=True, exist_ok=True)
    plan = Plan(iter(found), tmp_path / out, [SEG], Index(tmp_path / out))
    assert [item.stem for item in plan.items()] == expected


# ---- what is done ---------------------------------------------------------------------------------------------------


def test_what_counts_as_done(tmp_path):
    photo = tmp_path / "a.jpg"
    photo.write_bytes(b"1234")
    out = tmp_path / "out"
    out.mkdir()
    (out / "a_seg.png").write_bytes(b"x")
    status = photo.stat()
    with manifest.Manifest(out) as book:
        about = {"bytes": 4, "mtime_ns": status.st_mtime_ns, "digest": manifest.digest(photo)}
        book.add(row("../a.jpg", outputs=["a_seg.png"], **about))

    def planned(*works):
        return list(Plan(iter([Found(str(photo), "a")]), out, works, Index(out)).items())

    assert planned(SEG) == []
    assert [item.tasks for item in planned(SEG, SEG._replace(task="normal"))] == [["normal"]]
    for other in ({"size": "0.4b"}, {"level": "8bit"}, {"options": {"style": "reference"}}):
        assert [item.tasks for item in planned(SEG._replace(**other))] == [["seg"]]
    os.utime(photo, ns=(0, 0))
    (touched,) = planned(SEG)
    assert touched.held["seg"]["digest"] == about["digest"]
    os.utime(photo, ns=(0, status.st_mtime_ns))
    (out / "a_seg.png").write_bytes(b"")  # as a power cut can leave it
    assert planned(SEG)[0].held == {}
    (out / "a_seg.png").unlink()
    assert planned(SEG)
    (out / "a_seg.png").write_bytes(b"x")
    photo.write_bytes(b"12345")
    assert planned(SEG)[0].held == {}


def test_ranks_without_a_shared_folder_share_all_files_out_and_name_them_alike(tmp_path):
    found = [Found(f"/in/{number % 7}/{number}.jpg", f"{number % 7}/{number % 50}") for number in range(200)]

    def planned(rank, count):
        return {item.file: item.stem for item in Plan(iter(found), tmp_path, [SEG], Index(tmp_path)).items(rank, count)}

    parts = [planned(rank, 3) for rank in range(3)]
    assert sum(map(len, parts)) == 200
    assert {**parts[0], **parts[1], **parts[2]} == planned(0, 1)
    assert min(map(len, parts)) > 40
