"""What INPUT... stands for: folders, globs, lists; in constant memory, and never the results themselves."""

import os
import tracemalloc

import pytest

from sapiens_mlx.errors import SapiensError
from sapiens_mlx.jobs import inputs


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def stems(folder, *texts, out="out"):
    return [found.stem for found in inputs.expand(texts, folder, folder / out)]


def paths(folder, *texts, out="out"):
    return [os.path.relpath(found.path, folder) for found in inputs.expand(texts, folder, folder / out)]


def test_a_folder_is_taken_whole_and_by_name(tmp_path):
    touch(
        tmp_path / "in", "b.JPG", "a.png", "c/z.jpg", "c/y/x.webp", "film.mp4", "notes.txt", ".hidden.jpg", ".h/a.jpg"
    )
    (tmp_path / "in/loop").symlink_to(tmp_path / "in")
    (tmp_path / "in/linked.jpg").symlink_to(tmp_path / "in/b.JPG")
    (tmp_path / "in/gone.jpg").symlink_to(tmp_path / "nothing")
    os.mkfifo(tmp_path / "in/pipe.jpg")
    assert stems(tmp_path, "in") == ["a", "b", "c/y/x", "c/z", "film", "linked"]


def test_a_link_that_leads_round_in_a_ring_is_told_and_costs_no_other(tmp_path):
    touch(tmp_path / "in", "a.jpg", "z.jpg")
    (tmp_path / "in/ring.jpg").symlink_to("ring.jpg")
    found = list(inputs.expand(["in"], tmp_path, tmp_path / "out"))
    assert [one.stem for one in found] == ["a", "ring", "z"]
    assert ["cannot be read" in one.problem for one in found] == [False, True, False]


def test_a_ring_of_links_that_a_pattern_does_not_name_is_no_problem(tmp_path):
    touch(tmp_path / "in", "a.png", "sub/b.png")
    (tmp_path / "in/ring.jpg").symlink_to("ring.jpg")
    for pattern, expected in (("in/*.png", ["a"]), ("in/**/*.png", ["a", "sub/b"]), ("in/*/*", ["sub/b"])):
        assert stems(tmp_path, pattern) == expected
    (found,) = inputs.expand(["in/**/r*"], tmp_path, tmp_path / "out")
    assert found.stem == "ring" and "cannot be read" in found.problem


def test_several_folders_stay_apart(tmp_path):
    touch(tmp_path, "one/a.jpg", "two/a.jpg", "two/b.jpg")
    assert stems(tmp_path, "one", "two/a.jpg", "two") == ["one/a", "a", "two/a", "two/b"]


def test_results_are_not_read_again(tmp_path):
    touch(tmp_path, "in/a.jpg", "in/out/a_seg.png", "in/sub/out/b.jpg")
    (tmp_path / "in/other name").symlink_to(tmp_path / "in/out")
    assert paths(tmp_path, "in", out="in/out") == ["in/a.jpg", "in/sub/out/b.jpg"]
    assert paths(tmp_path, "in/**", out="in/out") == ["in/a.jpg", "in/sub/out/b.jpg"]
    assert paths(tmp_path, "in/*", out="in/out") == ["in/a.jpg", "in/sub/out/b.jpg"]
    for text in ("in", "in/", "in/*.jpg", "in/out/.."):
        with pytest.raises(SapiensError, match="--out"):
            stems(tmp_path, text, out="in")


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("in/*.jpg", ["a", "b"]),
        ("in/?.jpg", ["a", "b"]),
        ("in/[!a].*", ["b", "c"]),
        ("in/**/*.jpg", ["a", "b", "sub/d", "sub/deep/e"]),
        ("in/**", ["a", "b", "c", "sub/d", "sub/deep/e"]),
        ("in/*", ["a", "b", "c", "sub/d", "sub/deep/e"]),
        ("in/s*/d*.jpg", ["sub/d"]),
        ("in/*/deep", ["sub/deep/e"]),
        ("*/sub/*.jpg", ["in/sub/d"]),
        ("in/*.tiff", []),
        ("**/e.jpg", ["in/sub/deep/e"]),
        ("in/**/**", ["a", "b", "c", "sub/d", "sub/deep/e"]),
        ("in/**/**/**/e.jpg", ["sub/deep/e"]),
    ],
)
def test_globs(tmp_path, pattern, expected):
    folder = tmp_path / "[x] odd * folder"
    touch(folder, "in/a.jpg", "in/b.jpg", "in/c.png", "in/readme.md", "in/sub/d.jpg", "in/sub/deep/e.jpg")
    assert stems(folder, pattern) == expected
    assert len(stems(folder, pattern)) == len(paths(folder, f"{tmp_path}/*/{pattern}"))


def test_a_file_whose_name_looks_like_a_glob_is_that_file(tmp_path):
    touch(tmp_path, "a[1].jpg", "a1.jpg")
    assert paths(tmp_path, "a[1].jpg") == ["a[1].jpg"]
    assert not inputs.many("a[1].jpg", str(tmp_path))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"in/a.jpg\nin/b.jpg", ["in/a.jpg", "in/b.jpg"]),
        (b"\xef\xbb\xbfin/a.jpg\r\n\r\n  \nin/b.jpg\r\n", ["in/a.jpg", "in/b.jpg"]),
        (b"in/line\nbreak.jpg\0in/a.jpg\0", ["in/line\nbreak.jpg", "in/a.jpg"]),
        ("in/ünï 日本.jpg\n".encode(), ["in/ünï 日本.jpg"]),
        (b"in/\xff.jpg\n", [os.fsdecode(b"in/\xff.jpg")]),
        (b"in\n", ["in/a.jpg", "in/b.jpg"]),
        (b"in/../in/a.jpg\nnothing.jpg\n", ["in/a.jpg", "nothing.jpg"]),
        (b"", []),
    ],
)
def test_lists(tmp_path, content, expected):
    touch(tmp_path, "in/a.jpg", "in/b.jpg")
    (tmp_path / "list.txt").write_bytes(content)
    assert paths(tmp_path, "list.txt") == expected


def test_a_list_longer_than_a_piece_of_it(tmp_path):
    names = [f"in/{'x' * 100} {number}.jpg" for number in range(3000)]
    for end in ("\n", "\0"):
        (tmp_path / "list.txt").write_text(end.join(names) + end)
        assert paths(tmp_path, "list.txt") == names


def test_listed_files_are_mirrored_unless_they_lie_elsewhere(tmp_path):
    (tmp_path / "list.txt").write_text("in/sub/a.jpg\n/elsewhere/b.jpg\n../c.jpg\n./d.jpg\n")
    assert stems(tmp_path, "list.txt") == ["in/sub/a", "b", "c", "d"]


@pytest.mark.parametrize("line", ["..", "../..", "sub/..", ".", "../in/..", "link/.."])
def test_results_of_a_listed_folder_that_ends_in_dots_stay_below_the_output_folder(tmp_path, line):
    work = tmp_path / "one/two"
    touch(tmp_path, "a.jpg", "one/b.jpg", "one/in/c.jpg", "one/two/d.jpg", "one/two/sub/e.jpg")
    (work / "link").symlink_to(tmp_path / "one/in")
    (work / "list.txt").write_text(line)
    read = (work / line).resolve().name
    found = stems(work, "list.txt")
    assert found and all(stem.startswith(f"{read}/") and ".." not in stem for stem in found)


def test_the_root_of_all_folders_has_no_name_to_put_before_stems(monkeypatch, tmp_path):
    (tmp_path / "list.txt").write_text("/")
    monkeypatch.setattr(inputs, "_folder", lambda root, prefix, away: [inputs.Found(root, prefix + "a")])
    assert stems(tmp_path, "list.txt") == ["a"]


@pytest.mark.parametrize("line", ["out", "./out/", "in/../out", "link"])
def test_a_list_that_names_the_output_folder_is_refused(tmp_path, line):
    touch(tmp_path, "in/a.jpg", "out/b.jpg")
    (tmp_path / "link").symlink_to(tmp_path / "out")
    (tmp_path / "list.txt").write_text(f"in\n{line}\n")
    with pytest.raises(SapiensError, match="read and written at once"):
        stems(tmp_path, "list.txt")


def test_what_is_no_list_is_told(tmp_path):
    (tmp_path / "list.txt").write_bytes(b"x" * 1_000_000)
    with pytest.raises(SapiensError, match="no list of files"):
        stems(tmp_path, "list.txt")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_may_not_be_read_is_told_and_the_rest_goes_on(tmp_path):
    touch(tmp_path, "in/a.jpg", "in/closed/b.jpg", "in/d.jpg")
    (tmp_path / "in/closed").chmod(0)
    found = list(inputs.expand(["in"], tmp_path, tmp_path / "out"))
    assert [one.stem for one in found] == ["a", "closed", "d"]
    assert "cannot be read" in found[1].problem
    with pytest.raises(SapiensError, match="cannot be read"):
        stems(tmp_path, "in/closed")


def test_a_large_folder_starts_at_once_and_takes_no_more_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(inputs, "AT_ONCE", 100)
    peaks = {}
    for count in (200, 4000):
        folder = tmp_path / str(count)
        touch(folder, *(f"{number:05d}.jpg" for number in range(count)))
        stream = inputs.expand([str(folder)], tmp_path, tmp_path / "out")
        tracemalloc.start()
        first = next(stream)
        seen = [first.path]
        peak_of_first = tracemalloc.get_traced_memory()[1]
        names = 1 + sum(1 for _ in stream)
        peaks[count] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert names == count
        assert seen
        assert peak_of_first < 200_000
    assert peaks[4000] < 1.2 * peaks[200]


def test_runs_of_a_large_folder_are_each_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr(inputs, "AT_ONCE", 10)
    touch(tmp_path / "in", *(f"{number:03d}.jpg" for number in range(35)))
    found = stems(tmp_path, "in")
    assert all(found[start : start + 10] == sorted(found[start : start + 10]) for start in range(0, 35, 10))
    assert sorted(found) == [f"{number:03d}" for number in range(35)]
