"""Conversions that are kept in the cache, checked and made again."""

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from tiny_models import load, output, written

import sapiens_mlx as sm
from sapiens_mlx import zoo
from sapiens_mlx.convert import convert
from sapiens_mlx.errors import CancelledError, WeightsMissingError
from sapiens_mlx.weights import conversion, locate, store


def test_a_kept_conversion_gives_the_same_numbers_and_needs_no_source(machine, tiny_size):
    path = written(machine)
    first = output(load(level="8bit"))
    assert [folder.name.rsplit("-", 1)[0] for folder in conversion.conversions()] == ["seg-tiny-8bit"]
    assert np.array_equal(output(load(level="8bit")), first)
    path.unlink()
    assert np.array_equal(output(load(level="8bit")), first)
    with pytest.raises(WeightsMissingError):
        load(level="4bit")


def test_a_conversion_of_another_file_is_not_taken(machine, tiny_size):
    written(machine)
    first = output(load(level="8bit"))
    written(machine, lambda tensors: tensors.update({"decode_head.conv_seg.bias": np.ones(29, np.float32)}))
    second = output(load(level="8bit"))
    assert np.abs(second - first).max() > 0.5


def test_a_file_given_by_hand_is_never_taken_where_it_is_not_named(machine, tiny_size, tmp_path):
    mine = written(machine, lambda tensors: tensors.update({"decode_head.conv_seg.bias": np.ones(29, np.float32)}))
    mine = mine.rename(tmp_path / "mine.safetensors")
    first = output(load(level="8bit", weights=mine))
    checkpoint = zoo.checkpoint("seg", "tiny")
    assert not store.is_here(checkpoint, "8bit")
    with pytest.raises(WeightsMissingError):
        load(level="8bit")
    written(machine)
    assert np.abs(output(load(level="8bit")) - first).max() > 0.5
    assert np.array_equal(output(load(level="8bit", weights=mine)), first)
    assert len(conversion.conversions()) == 2


def test_of_a_repository_that_is_not_here_only_its_own_conversion_is_taken(machine, tiny_size, tmp_path, monkeypatch):
    def missing(*args, **options):
        raise WeightsMissingError("nothing is downloaded here")

    checkpoint = zoo.checkpoint("seg", "tiny")
    monkeypatch.setattr(locate, "find", missing)
    path = tmp_path / "models--me--seg-tiny" / "seg.safetensors"  # as the hub's cache has it
    path.parent.mkdir()
    written(machine).rename(path)
    first = output(load(level="8bit", weights=path))
    path.unlink()
    for weights in ("alice/seg-tiny", checkpoint.repo, None):
        assert not store.is_here(checkpoint, "8bit", weights)
        with pytest.raises(WeightsMissingError):
            load(level="8bit", weights=weights)
    assert store.is_here(checkpoint, "8bit", "me/seg-tiny")
    assert np.array_equal(output(load(level="8bit", weights="me/seg-tiny")), first)


def test_of_a_conversion_that_does_not_tell_its_file_was_the_default_only_the_own_repository_counts(machine, tiny_size):
    """As versions before wrote them."""
    path = written(machine)
    load(level="8bit")
    path.unlink()
    checkpoint, config = zoo.checkpoint("seg", "tiny"), only(machine) / "config.json"
    config.write_text(config.read_text().replace(', "is_default": true', ""))
    assert conversion.read(config.parent) is not None
    assert not store.is_here(checkpoint, "8bit")
    config.write_text(config.read_text().replace('"repo": null', f'"repo": "{checkpoint.repo}"'))
    assert store.is_here(checkpoint, "8bit")


@pytest.mark.parametrize("damage", ["config", "size", "model cut", "model gone", "older format"])
def test_a_damaged_conversion_is_made_again(machine, tiny_size, damage):
    written(machine)
    first = output(load(level="8bit"))
    (folder,) = conversion.conversions()
    model, config = folder / "model.safetensors", folder / "config.json"
    if damage == "config":
        config.write_text("{")
    elif damage == "size":
        config.write_text(config.read_text().replace('"model": {"bytes": ', '"model": {"bytes": 1e999, "was": '))
    elif damage == "model cut":
        model.write_bytes(model.read_bytes()[:-10])
    elif damage == "model gone":
        model.unlink()
    else:
        config.write_text(config.read_text().replace('"format": 2', '"format": 1'))
    assert np.array_equal(output(load(level="8bit")), first)
    assert conversion.conversions() == [folder]
    assert model.is_file()


def test_stop_while_converting_leaves_nothing(machine, tiny_size):
    written(machine)

    def stop(stage, done, total):
        if stage == "load" and done > total / 2:
            raise CancelledError

    with pytest.raises(CancelledError):
        load(level="8bit", progress=stop)
    assert conversion.conversions() == []


# ---- a cache that changes, is damaged, or takes nothing -------------------------------------------------------------


def only(machine) -> Path:
    (folder,) = conversion.conversions()
    return folder


def test_a_touched_conversion_is_verified_by_its_digest_and_taken(machine, tiny_size):
    written(machine)
    first = output(load(level="8bit"))
    model = only(machine) / "model.safetensors"
    os.utime(model, (1, 1))
    inode = model.stat().st_ino
    assert np.array_equal(output(load(level="8bit")), first)
    assert model.stat().st_ino == inode  # it was not made again
    assert conversion.read(model.parent).model_mtime_ns == model.stat().st_mtime_ns  # and is not verified again


@pytest.mark.parametrize("keeps_time", [False, True], ids=["and another time", "and its old time"])
def test_changed_bytes_of_the_same_size_are_noticed(machine, tiny_size, keeps_time):
    """With the old time put back, a load trusts them; asking thoroughly does not."""
    path = written(machine)
    first = output(load(level="8bit"))
    model = only(machine) / "model.safetensors"
    times = model.stat()
    content = bytearray(model.read_bytes())
    content[-1000:] = bytes(1000)
    model.write_bytes(content)
    if keeps_time:
        os.utime(model, ns=(times.st_atime_ns, times.st_mtime_ns))
        checkpoint, row = zoo.checkpoint("seg", "tiny"), zoo.level("8bit")
        assert conversion.is_whole(model.parent, checkpoint, row)
        assert not conversion.is_whole(model.parent, checkpoint, row, thorough=True)
        convert(path, level="8bit")
    assert np.array_equal(output(load(level="8bit")), first)


def test_the_conversion_of_another_task_in_its_place_is_not_taken(machine, tiny_size):
    written(machine)
    first = output(load(level="8bit"))
    mine = only(machine)
    shutil.rmtree(mine)
    written(machine, task="normal")
    load("normal", "8bit")
    only(machine).rename(mine)
    assert np.array_equal(output(load(level="8bit")), first)


def test_tensors_of_other_names_are_noticed_though_size_and_time_are_right(machine, tiny_size):
    written(machine)
    first = output(load(level="8bit"))
    model = only(machine) / "model.safetensors"
    times = model.stat()
    model.write_bytes(model.read_bytes().replace(b"blocks.3.ffn.w3.scales", b"blocks.3.ffn.w4.scales"))
    os.utime(model, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert np.array_equal(output(load(level="8bit")), first)
    model.unlink()
    assert np.array_equal(output(load(level="8bit")), first)


def test_a_conversion_that_vanishes_while_it_is_loaded_is_made_again(machine, tiny_size, tmp_path):
    written(machine)
    first = output(load(level="8bit"))

    def vanish(stage, done, total):
        if (done, total) == (0, 1):
            shutil.rmtree(tmp_path / "cache")

    assert np.array_equal(output(load(level="8bit", progress=vanish)), first)


def full_disk(cache: Path) -> None:
    mounted(cache, "size=256k")


def read_only_disk(cache: Path) -> None:
    mounted(cache, "size=9m,ro")


def mounted(cache: Path, options: str) -> None:
    cache.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(cache)]
    if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")


def file_in_the_way(cache: Path) -> None:
    cache.write_text("in the way")


@pytest.mark.parametrize(
    ("obstacle", "says"),
    [(full_disk, "its disk has 0.3 MB left"), (read_only_disk, "Read-only file system"), (file_in_the_way, "File exi")],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_cache_that_takes_nothing_is_said_once_and_is_no_error(machine, tiny_size, tmp_path, obstacle, says):
    reference = output(load(level="8bit", weights=written(machine)))
    cache = tmp_path / "cache"
    shutil.rmtree(cache)
    obstacle(cache)
    store.take_notices()
    try:
        assert np.array_equal(output(load(level="8bit")), reference)
        (notice,) = store.take_notices()
        assert "The conversion to 8bit was not kept" in notice
        assert says in notice
        assert "SAPIENS_MLX_CACHE" in notice
        load(level="8bit")
        assert store.take_notices() == []
    finally:
        with contextlib.suppress(OSError):
            subprocess.run(["umount", str(cache)], capture_output=True, check=False)


def test_what_was_not_kept_is_in_the_report_of_the_photo(machine, tiny_size, tmp_path):
    written(machine)
    (tmp_path / "cache").write_text("in the way")
    predictor = sm.load("seg", "tiny", "8bit")
    photo = np.zeros((40, 30, 3), np.uint8)
    assert any("was not kept" in notice for notice in predictor(photo).report.notices)
    assert not any("was not kept" in notice for notice in predictor(photo).report.notices)
