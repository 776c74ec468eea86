"""convert: the cache filled, folders to publish and to load again, and the hub they are sent to."""

import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
import rule
from hub_server import Hub
from safetensors.numpy import save_file

import sapiens_mlx as sm
from sapiens_mlx import zoo
from sapiens_mlx.__main__ import main
from sapiens_mlx.errors import SapiensError
from sapiens_mlx.runtime import inference
from sapiens_mlx.shipped import demo_folder
from sapiens_mlx.weights import conversion, model_card, publish, store

PROJECT = Path(__file__).resolve().parents[1]
PIXELS = rule.noise("pixels", (1, 128, 96, 3))


def run(capsys, *arguments) -> tuple[int, str, str]:
    status = main(["convert", *(str(argument) for argument in arguments)])
    out, error = capsys.readouterr()
    return status, out, error


def converted(capsys, *arguments) -> dict:
    status, out, error = run(capsys, *arguments, "--json")
    assert status == 0, error
    return json.loads(out)


def output(task="seg", level="8bit", weights=None) -> np.ndarray:
    def work(progress):
        raw = store.load(task, "tiny", level, weights).module(mx.array(PIXELS))
        return np.array((raw[0] if isinstance(raw, tuple) else raw).astype(mx.float32))

    return inference.run(work)


@pytest.fixture
def tiny(machine, tiny_size) -> Path:
    return rule.write_tiny(machine, "seg")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("sapiens2_0.4b_seg.safetensors", ("seg", "0.4b")),
        ("sapiens2_1b_pose.safetensors", ("pose", "1b")),
        ("sapiens2_1b_4k_pretrain.safetensors", ("features", "1b-4k")),
        ("sapiens2_demo_pointmap.safetensors", ("pointmap", "demo")),
        ("facebook/sapiens2-seg-0.4b", ("seg", "0.4b")),
        ("pose-lab/my-normal-5b-finetune", ("normal", "5b")),
        ("SAPIENS2_0.8B_Normal.safetensors", ("normal", "0.8b")),
        ("seg_and_pose_1b.safetensors", (None, "1b")),
        ("model.safetensors", (None, None)),
        ("segment_11b.safetensors", (None, None)),
        ("", (None, None)),
    ],
)
def test_task_and_size_are_read_from_names(name, told):
    assert zoo.names_in(name) == told


def test_help_has_an_example(capsys):
    with pytest.raises(SystemExit):
        main(["convert", "--help"])
    assert "example" in capsys.readouterr().out


# ---- the cache ------------------------------------------------------------------------------------------------------


def test_without_out_the_cache_is_filled_and_every_run_finds_it(tiny, tmp_path, capsys):
    report = converted(capsys, "--task", "seg", "--size", "tiny", "--level", "4bit")
    folder = Path(report["folder"])
    assert (folder.parent, report["was_there"]) == (tmp_path / "cache", False)
    assert sorted(report["files"]) == [str(folder / name) for name in ("config.json", "model.safetensors")]
    assert report["source_bytes"] == tiny.stat().st_size
    assert report["bytes"] == (folder / "model.safetensors").stat().st_size < report["source_bytes"] / 4
    assert report["peak_memory_bytes"] > report["bytes"]
    inode = (folder / "model.safetensors").stat().st_ino
    output(level="4bit")
    again = converted(capsys, tiny, "--task", "seg", "--size", "tiny", "--level", "4bit")
    assert (again["folder"], again["was_there"]) == (report["folder"], True)
    assert (folder / "model.safetensors").stat().st_ino == inode
    status, out, _ = run(capsys, "--task", "seg", "--size", "tiny", "--level", "8bit")
    assert status == 0
    assert "weights quantized" in out
    assert str(tmp_path / "cache/seg-tiny-8bit") in out


def test_a_cache_that_cannot_be_written_is_an_error_here(tiny, tmp_path, capsys):
    (tmp_path / "cache").write_text("in the way")
    status, out, error = run(capsys, "--task", "seg", "--size", "tiny", "--level", "8bit")
    assert (status, out) == (2, "")
    assert "cannot be written" in error
    assert "SAPIENS_MLX_CACHE" in error


# ---- a folder to publish --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", list(zoo.LEVELS))
def test_a_published_folder_loads_as_what_it_was_made_from(tiny, tmp_path, capsys, level):
    folder = tmp_path / "out" / f"sapiens2-seg-tiny-{level}"
    report = converted(capsys, tiny, "--task", "seg", "--size", "tiny", "--level", level, "--out", folder)
    expected = output(level=level)
    tiny.unlink()
    assert np.array_equal(output(level=level, weights=folder), expected)
    assert sorted(path.name for path in folder.parent.iterdir()) == [folder.name]
    names = ["LICENSE.md", "README.md", "config.json", "model.safetensors"]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert report["files"] == [str(folder / name) for name in names]
    row, config = zoo.level(level), json.loads((folder / "config.json").read_text())
    assert (config["bits"], config["group_size"], config["mode"]) == (row.bits, row.group_size, row.mode)
    assert (config["quantized_share"] > 0.3) == (row.bits is not None)
    assert config["version"] == sm.__version__


def test_config_names_the_source_by_its_digest(tiny, tmp_path, capsys):
    converted(capsys, tiny, "--task", "seg", "--size", "tiny", "--level", "8bit", "--out", tmp_path / "out")
    config = json.loads((tmp_path / "out/config.json").read_text())
    told = subprocess.run(["sha256sum", str(tiny)], capture_output=True, text=True, check=True).stdout.split()[0]
    assert config["source"] == {"file": tiny.name, "bytes": tiny.stat().st_size, "sha256": told, "repo": None}
    model = tmp_path / "out/model.safetensors"
    told = subprocess.run(["sha256sum", str(model)], capture_output=True, text=True, check=True).stdout.split()[0]
    assert config["model"]["sha256"] == told


def test_the_licence_is_meta_s_own_text_and_comes_with_the_package(tiny, tmp_path, capsys):
    converted(capsys, tiny, "--task", "seg", "--size", "tiny", "--level", "8bit", "--out", tmp_path / "out")
    text = (tmp_path / "out/LICENSE.md").read_text(encoding="utf-8")
    assert text.startswith("# Sapiens2 License\n")
    assert "## 8. Modifications and Amendments" in text
    assert "you shall provide a copy of this Agreement with any such Sapiens Materials" in text
    assert '"weights/licences/*.md"' in (PROJECT / "pyproject.toml").read_text()


def front_matter(card: str) -> dict:
    """The card's header, as a hub reads it."""
    import yaml

    _, header, _ = card.split("---\n", 2)
    return yaml.safe_load(header)


def test_the_card_is_made_for_its_task_size_and_level(machine, tmp_path, capsys):
    source = demo_folder() / "sapiens2_demo_pose.safetensors"
    report = converted(capsys, source, "--level", "mxfp8", "--out", tmp_path / "pose")
    card = (tmp_path / "pose/README.md").read_text(encoding="utf-8")
    header = front_matter(card)
    assert (header["license"], header["library_name"]) == ("mit", "mlx")
    assert "base_model" not in header
    assert {"mlx", "pose", "mxfp8", "synthetic-data"} <= set(header["tags"])
    assert zoo.DEMO_NOTICE in card
    assert f"{100 * report['quantized_share']:.1f} %" in card
    assert f"{report['bytes']:,} bytes" in card
    assert "--task pose --size demo --level mxfp8 --weights pose" in card
    assert 'sm.load("pose", "demo", level="mxfp8", weights="pose")' in card
    assert "arXiv:2604.21681" in card
    assert (tmp_path / "pose/LICENSE").read_bytes() == (demo_folder() / "LICENSE").read_bytes()
    measured = card.split("## Measured\n\n")[1].split("\n\n")[0].splitlines()
    assert [line.split("|")[1].strip(" *") for line in measured[2:]] == list(zoo.LEVELS)
    assert [line for line in measured if line.startswith("| **mxfp8** |")]


def about(task: str, size: str, level: str) -> conversion.Conversion:
    source = conversion.Source(f"sapiens2_{size}_{task}.safetensors", 1_000_000, "0" * 64, f"facebook/x-{task}")
    return conversion.Conversion(task, size, level, "Sapiens2 License", source, 0.5, 500_000, "1" * 64, None, {})


@pytest.mark.parametrize("task", [row.name for row in zoo.TASKS.values() if row.name != "detect"])
def test_the_card_of_every_published_network_has_a_header_that_the_hub_reads(task):
    for size in zoo.task_row(task).sizes[1:]:
        for level in ("bf16", "4bit"):
            checkpoint = zoo.checkpoint(task, size)
            card = model_card.model_card(about(task, size, level), checkpoint, "me/mine", "LICENSE.md")
            header = front_matter(card)
            assert header["license"] == "other"
            assert header["license_name"] == "sapiens2-license"
            assert header["license_link"] == "LICENSE.md"
            assert header.get("base_model") == (checkpoint.repo if checkpoint.published else None)
            quantized = level == "4bit" and checkpoint.published
            assert header.get("base_model_relation") == ("quantized" if quantized else None)
            assert "hf download me/mine --local-dir mine" in card
            assert "surveillance" in card
            assert ("Nothing: every tensor is stored as bfloat16" in card) == (level == "bf16")


def test_measured_rows_stand_in_the_card_where_there_are_any(tmp_path, monkeypatch):
    monkeypatch.setattr(model_card, "demo_folder", lambda: tmp_path / "demo")
    rows = [
        {"task": "seg", "size": "0.4b", "level": "bf16", "agreement": 0.99951234, "bytes": 800},
        {"task": "seg", "size": "0.4b", "level": "4bit", "agreement": 0.9912, "seconds": 1.5},
        {"task": "seg", "size": "1b", "level": "4bit", "agreement": 0.5},
    ]
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo/levels.json").write_text(json.dumps(rows))
    card = model_card.model_card(about("seg", "0.4b", "4bit"), zoo.checkpoint("seg", "0.4b"), "mine", "LICENSE.md")
    table = card.split("## Measured\n\n")[1].split("\n\n")[0].splitlines()
    assert table == [
        "| level | agreement | bytes | seconds |",
        "|---|---|---|---|",
        "| bf16 | 0.99951 | 800 | – |",
        "| **4bit** | **0.9912** | **–** | **1.5** |",
    ]
    card = model_card.model_card(about("pose", "0.4b", "4bit"), zoo.checkpoint("pose", "0.4b"), "mine", "LICENSE.md")
    assert "## Measured" not in card


# ---- loading what was published -------------------------------------------------------------------------------------


@pytest.fixture
def folder(tiny, tmp_path, capsys) -> Path:
    converted(capsys, tiny, "--task", "seg", "--size", "tiny", "--level", "8bit", "--out", tmp_path / "published")
    return tmp_path / "published"


def test_a_predictor_takes_size_and_level_from_the_folder(folder):
    predictor = sm.load("seg", weights=folder)
    assert (predictor.size, predictor.level) == ("tiny", "8bit")
    result = predictor(np.zeros((40, 30, 3), np.uint8))
    assert (result.report.size, result.report.level) == ("tiny", "8bit")


@pytest.mark.parametrize(
    ("task", "size", "level", "says"),
    [
        ("seg", "tiny", "4bit", "holds seg tiny at 8bit, not seg tiny at 4bit"),
        ("seg", "0.4b", "8bit", "not seg 0.4b at 8bit"),
        ("normal", "tiny", "8bit", "not normal tiny at 8bit"),
    ],
)
def test_a_folder_of_something_else_is_a_sentence(folder, task, size, level, says):
    with pytest.raises(SapiensError, match=says):
        inference.run(store.load, task, size, level, folder)


@pytest.mark.parametrize("damage", ["cut short", "other names", "config", "another program's"])
def test_a_damaged_folder_is_a_sentence(folder, damage):
    model, config = folder / "model.safetensors", folder / "config.json"
    if damage == "cut short":
        model.write_bytes(model.read_bytes()[:-10])
    elif damage == "other names":
        model.write_bytes(model.read_bytes().replace(b"blocks.3.ffn.w3.scales", b"blocks.3.ffn.w4.scales"))
    else:
        config.write_text("{" if damage == "config" else '{"model_type": "sapiens2"}')
    with pytest.raises(SapiensError, match=r"damaged") as problem:
        inference.run(store.load, "seg", "tiny", "8bit", folder)
    assert str(folder) in str(problem.value)


def test_the_mask_of_another_task_does_not_look_into_the_folder(machine, tiny_size, tmp_path, capsys):
    for task in ("seg", "normal"):
        rule.write_tiny(machine, task)
    options = ("--task", "normal", "--size", "tiny", "--level", "8bit")
    converted(capsys, *options, "--out", tmp_path / "published")
    result = sm.load("normal", weights=tmp_path / "published")(np.zeros((40, 30, 3), np.uint8), foreground="seg")
    assert result.person_mask.shape == (40, 30)


# ---- mistakes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("{source}",), "--level"),
        (("{source}", "--level", "3bit", "--task", "seg"), "no quantization level '3bit'"),
        (("{source}", "--level", "8bit", "--task", "nose"), "no task 'nose'"),
        (("{unnamed}", "--task", "seg", "--level", "8bit"), "does not tell the size (--size 0.4b). Add it."),
        ((), "Say the task"),
        (("model/file.safetensors", "--level", "8bit"), "There is no file model/file.safetensors"),
        (("not a repo", "--level", "8bit"), "There is no file not a repo"),
        (("me/a--b", "--level", "8bit"), "There is no file me/a--b"),
        (("{source}/..", "--level", "8bit"), "There is no file"),
        (("{folder}", "--level", "8bit"), "is a folder. Give the checkpoint's file"),
        (("facebook/sapiens2-seg-0.4b", "--task", "pose", "--level", "8bit"), "is named for seg, and --task says pose"),
        (("{source}", "--task", "pose", "--size", "tiny", "--level", "8bit"), "weights for seg, not for pose"),
        (("{source}", "--size", "0.4b", "--level", "8bit"), "size tiny, not 0.4b"),
        (("{source}", "--task", "seg", "--size", "tiny", "--level", "fp32"), "no copy is kept. Add --out DIR"),
        (("--task", "seg", "--size", "demo", "--level", "4bit"), "no copy is kept. Add --out DIR"),
        (("--task", "detect", "--size", "demo", "--level", "4bit", "--out", "{new}"), "nothing to convert"),
        (("{source}", "--task", "seg", "--size", "tiny", "--level", "8bit", "--out", "{source}"), "is a file"),
        (("{source}", "--task", "seg", "--size", "tiny", "--level", "8bit", "--out", "{folder}"), "is not empty"),
        (("{source}", "--task", "seg", "--size", "tiny", "--level", "8bit", "--out", "/proc/x"), "cannot be written"),
        (("{source}", "--task", "seg", "--size", "tiny", "--level", "8bit", "--upload", "me/it"), "add --out DIR"),
        (("facebook/sapiens2-albedo-0.4b", "--level", "8bit"), "not published yet"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(tiny, tmp_path, capsys, arguments, says):
    if not arguments:
        arguments = ("--level", "8bit")
    places = {"source": tiny, "folder": tiny.parent, "new": tmp_path / "new", "unnamed": tiny.parent / "a.safetensors"}
    shutil.copy(tiny, places["unnamed"])
    status, out, error = run(capsys, *(argument.format(**places) for argument in arguments))
    assert (status, out) == (2, "")
    assert says in error
    assert error.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["weights"]


def test_a_layer_too_narrow_for_a_level_is_a_sentence(machine, tiny_size, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(zoo.SIZES, "tiny", zoo.Size("tiny", 32, 20, 2, 1, None, (128, 96)))
    path = rule.write_checkpoint(machine / "seg/sapiens2_tiny_seg.safetensors", rule.manifest("tiny/seg"))
    arguments = (path, "--task", "seg", "--size", "tiny", "--level", "4bit", "--out", tmp_path / "out")
    status, _, error = run(capsys, *arguments)
    assert status == 2
    assert "groups of 64" in error
    assert not (tmp_path / "out").exists()


def test_two_float_types_that_are_not_read_together_are_a_sentence(machine, tiny_size, capsys):
    tensors = {name: tensor.astype(np.float64) for name, tensor in rule.tensors(rule.tiny_shapes("seg")).items()}
    name = "decode_head.conv_seg.bias"
    tensors[name] = tensors[name].astype(np.float16)
    path = machine / "sapiens2_tiny_seg.safetensors"
    save_file(tensors, path)
    length = int.from_bytes(path.read_bytes()[:8], "little")
    header, data = json.loads(path.read_bytes()[8 : 8 + length]), path.read_bytes()[8 + length :]
    header[name]["dtype"] = "BF16"  # as wide as float16
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    status, _, error = run(capsys, path, "--level", "8bit")
    assert status == 2
    assert "F64 and others as BF16" in error


# ---- the hub --------------------------------------------------------------------------------------------------------

DEMO = ("--task", "seg", "--size", "demo", "--level", "4bit")


class Home:
    """A machine whose hub is a local server. Files go the way of LFS: the server does not speak Xet."""

    def __init__(self, folder: Path, hub: Hub | None, **environment: str) -> None:
        self.out = folder / "sapiens2-seg-demo-4bit"
        self.environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(PROJECT),
            "HOME": str(folder),
            "HF_HOME": str(folder / "hf"),
            "HF_ENDPOINT": hub.endpoint if hub else "http://127.0.0.1:9",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_TOKEN": "hf_writer",
            **environment,
        }

    def convert(self, *arguments: str, answer: str | None = None) -> subprocess.CompletedProcess:
        """`answer` is what somebody types who sits at the terminal; None is no terminal."""
        command = [sys.executable, "-m", "sapiens_mlx", "convert", *arguments]
        keyboard, terminal = pty.openpty()
        os.write(keyboard, (answer or "").encode() + b"\n")
        try:
            return subprocess.run(
                command,
                env=self.environment,
                stdin=subprocess.DEVNULL if answer is None else terminal,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
        finally:
            os.close(keyboard)
            os.close(terminal)

    def upload(self, *arguments: str, **options) -> subprocess.CompletedProcess:
        return self.convert(*DEMO, "--out", str(self.out), "--upload", "me/demo-4bit", *arguments, **options)


def test_a_folder_is_sent_after_showing_what_and_asking(tmp_path):
    with Hub({}) as hub:
        home = Home(tmp_path, hub)
        done = home.upload(answer="y")
        assert done.returncode == 0, done.stderr
        assert f"sent to {hub.endpoint}/me/demo-4bit" in done.stdout
        local = {f"me/demo-4bit/{path.name}": path.read_bytes() for path in home.out.iterdir()}
        assert len(local) == 4
        assert hub.files == local
        assert hub.commits == ["Sapiens2 seg demo at 4bit for MLX"]
        for path in home.out.iterdir():
            assert f"{path.stat().st_size:,} bytes" in done.stderr
        assert "a new repository" in done.stderr
        assert "Licence: MIT License" in done.stderr
        assert done.stderr.rstrip().endswith("[y/N]")
        assert "hf download me/demo-4bit" in (home.out / "README.md").read_text(encoding="utf-8")
        again = json.loads(home.upload("--yes", "--json").stdout)  # what is there from before is sent as it is
        assert (again["was_there"], again["uploaded"]) == (True, f"{hub.endpoint}/me/demo-4bit")
        posts = [request for request in hub.requests if request.method == "POST"]
        assert {request.token for request in posts} == {"Bearer hf_writer"}


@pytest.mark.parametrize("answer", ["", "n", "yes please", "\x04"], ids=["enter", "no", "neither", "end of input"])
def test_anything_but_yes_sends_nothing_and_keeps_the_folder(tmp_path, answer):
    with Hub({}) as hub:
        home = Home(tmp_path, hub)
        done = home.upload(answer=answer)
        assert done.returncode == 0
        assert "Nothing was sent" in done.stdout
        assert {request.method for request in hub.requests} == {"GET"}
        assert home.out.is_dir()


def test_a_repository_that_exists_is_told_before_it_is_changed(tmp_path):
    with Hub({"me/demo-4bit/README.md": b"mine"}) as hub:
        done = Home(tmp_path, hub).upload(answer="n")
    assert "which exists: files of the same names are replaced" in done.stderr


@pytest.mark.parametrize(
    ("fault", "environment", "says"),
    [
        ({"write_status": 403}, {}, "does not let this login write to me/demo-4bit (HTTP 403)"),
        ({"write_status": 500}, {}, "HTTP 500"),
        (None, {}, "the connection to http://127.0.0.1:9 failed"),
    ],
    ids=["not allowed", "hub is down", "nobody answers"],
)
def test_what_cannot_be_sent_is_one_sentence_and_the_folder_stays(tmp_path, fault, environment, says):
    with Hub({}, **(fault or {})) as hub:
        home = Home(tmp_path, hub if fault else None, **environment)
        done = home.upload("--yes")
        assert done.returncode == 2
        (line,) = [line for line in done.stderr.splitlines() if line.startswith("error")]
        assert says in line
        assert "Traceback" not in done.stderr
        assert publish.is_whole(home.out, zoo.checkpoint("seg", "demo"), zoo.level("4bit"))
        assert hub.files == {}


@pytest.mark.parametrize(
    ("arguments", "environment", "says"),
    [
        ((), {}, "Add --yes"),
        (("--yes",), {"HF_TOKEN": ""}, "hf auth login"),
        (("--yes",), {"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE"),
        (("--yes", "--upload", "demo"), {}, "OWNER/NAME"),
    ],
    ids=["no terminal", "nobody logged in", "offline", "no owner"],
)
def test_what_cannot_be_sent_is_said_before_the_work(tmp_path, arguments, environment, says):
    with Hub({}) as hub:
        home = Home(tmp_path, hub, **environment)
        done = home.upload(*arguments)
        assert done.returncode == 2
        assert says in done.stderr
        assert not home.out.exists()
        assert not hub.requests


def test_a_repository_of_somebody_else_is_downloaded_and_named_as_the_source(tmp_path):
    weights = (demo_folder() / "sapiens2_demo_seg.safetensors").read_bytes()
    with Hub({"me/sapiens2-seg-demo/sapiens2_demo_seg.safetensors": weights}) as hub:
        home = Home(tmp_path, hub)
        done = home.convert("me/sapiens2-seg-demo", "--level", "bf16", "--out", str(tmp_path / "out"), "--json")
        assert done.returncode == 0, done.stderr
        source = json.loads(done.stdout)["source"]
        assert (source["repo"], source["bytes"]) == ("me/sapiens2-seg-demo", len(weights))
        done = home.convert("me/sapiens2-pose-demo", "--level", "bf16", "--out", str(tmp_path / "pose"))
    assert done.returncode == 2
    assert "the hub has no repository me/sapiens2-pose-demo" in done.stderr


@pytest.mark.parametrize("repo", ["facebook/sapiens2-seg-0.4b", "somebody/sapiens2-seg-0.4b"])
@pytest.mark.parametrize(
    ("environment", "says"),
    [({}, "the connection to http://127.0.0.1:9 failed"), ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE")],
    ids=["nobody answers", "offline"],
)
def test_a_source_that_cannot_be_downloaded_is_a_sentence(tmp_path, repo, environment, says):
    done = Home(tmp_path, None, **environment).convert(repo, "--level", "8bit", "--out", str(tmp_path / "out"))
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
