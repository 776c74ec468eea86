"""Checkpoints as other programs write them, on the hub: which is downloaded for a level, and what is told before it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import other_programs
import pytest
from hub_machine import CONTENT, FILES, SEG, Machine
from hub_server import COMMIT, Hub
from other_programs import AT_4BIT

from sapiens_mlx import zoo
from sapiens_mlx.weights import store

CONVERSION = "mlx-community/sapiens2-seg-0.4b-4bit"
COMMUNITY_FILES = FILES | {
    f"{CONVERSION}/config.json": b'{"model_type": "sapiens2"}',
    f"{CONVERSION}/model.safetensors": CONTENT[:1_000_000],
    f"{CONVERSION}/README.md": b"not needed",
}


def snapshot(machine: Machine, repo: str) -> Path:
    return machine.cache / f"models--{repo.replace('/', '--')}" / "snapshots" / COMMIT


@pytest.fixture
def home(tmp_path) -> Machine:
    return Machine(tmp_path)


def test_a_packed_level_downloads_the_smaller_conversion_and_says_whose_it_is(home):
    with Hub(COMMUNITY_FILES) as hub:
        assert home.run(hub, call="size", level="4bit")["found"] == 1_000_026
        report = home.run(hub, level="4bit")
        assert not any(FILES.keys() & {request.path.removeprefix("/cdn/")} for request in hub.requests)
    assert report["error"] is None, report["message"]
    assert report["found"] == str(snapshot(home, CONVERSION) / "model.safetensors")
    assert not (snapshot(home, CONVERSION) / "README.md").exists()
    assert report["heard"][-1] == ["download", 1_000_026, 1_000_026]
    expected = (
        f"The weights are {CONVERSION}, a conversion by mlx-community of 1 MB, in place of the original (3 MB). "
        f"For the original, use --weights {SEG.repo}."
    )
    assert report["told"] == [expected]
    assert report["coming"] == [f"Downloading {CONVERSION} (1 MB, Sapiens2 License). {expected}"]
    # The next time it is here, for that level and no other; and so is whatever nobody asked the network for.
    offline = home.run(None, call="find_local", level="4bit")
    assert offline["found"] == report["found"]
    assert home.run(None, call="find_local", level="8bit")["found"] == "None"
    assert home.run(None, call="find_local")["found"] == "None"


@pytest.mark.parametrize("level", ["bf16", "fp32", "8bit", None])
def test_floats_and_levels_that_nobody_converted_take_the_original(home, level):
    with Hub(COMMUNITY_FILES) as hub:
        report = home.run(hub, level=level)
    home.assert_downloaded(report)
    assert report["told"] == []
    assert report["coming"] == [f"Downloading {SEG.repo} (3 MB, Sapiens2 License)."]


def test_the_original_that_is_here_comes_before_any_conversion(home):
    with Hub(COMMUNITY_FILES) as hub:
        home.run(hub)
        asked = len(hub.requests)
        home.assert_downloaded(home.run(hub, level="4bit"))
        assert len(hub.requests) == asked


def test_a_hub_that_does_not_tell_of_conversions_is_no_obstacle(home):
    """Unknown repositories are answered with 401 to those who are not logged in, and with 404 to others."""
    with Hub(FILES) as hub:
        home.assert_downloaded(home.run(hub, level="4bit"))


@pytest.mark.parametrize("repo", [SEG.repo, CONVERSION])
def test_a_repository_may_be_named(home, repo):
    with Hub(COMMUNITY_FILES) as hub:
        report = home.run(hub, weights=repo, level="4bit")
        assert report["error"] is None, report["message"]
        name = SEG.filename if repo == SEG.repo else "model.safetensors"
        assert report["found"] == str(snapshot(home, repo) / name)
        assert home.run(None, call="find_local", weights=repo)["found"] == report["found"]


def test_a_repository_in_several_files_arrives_whole_and_carries_on_where_it_was_cut(home):
    repo = "mlx-community/sapiens2-seg-5b-4bit"
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    index = json.dumps({"weight_map": {"a": names[0], "b": names[1]}}).encode()
    files = {"config.json": b'{"model_type": "sapiens2"}', "model.safetensors.index.json": index}
    files |= {names[0]: CONTENT[:700_000], names[1]: CONTENT[700_000:]}
    checkpoint = zoo.checkpoint("seg", "5b")
    with Hub({f"{repo}/{name}": content for name, content in files.items()}) as hub:
        total = sum(map(len, files.values()))
        cut = home.run(hub, checkpoint=checkpoint, level="4bit", cancel_at=1_500_000)
        assert cut["error"] == "CancelledError"
        assert home.run(None, call="find_local", checkpoint=checkpoint, level="4bit")["found"] == "None"
        report = home.run(hub, checkpoint=checkpoint, level="4bit")
    folder = snapshot(home, repo)
    assert report["found"] == str(folder / "model.safetensors.index.json"), report["message"]
    assert b"".join((folder / name).read_bytes() for name in names) == CONTENT
    assert report["heard"][0][1] > 1_400_000
    assert report["heard"][-1] == ["download", total, total]


def test_a_repository_with_several_layouts_says_which_was_taken(home):
    both = {f"me/people/{name}": CONTENT for name in (SEG.filename, "model.safetensors")}
    with Hub(both | {"me/people/config.json": b"{}"}) as hub:
        report = home.run(hub, weights="me/people")
    assert report["told"] == [
        f"me/people has its weights in several layouts: taken is {SEG.filename}, not model.safetensors."
    ]
    assert report["found"].endswith(SEG.filename)


@pytest.mark.parametrize(
    ("repo", "says"),
    [("me/nothing-there", "no repository me/nothing-there"), ("me/words", "neither sapiens2_0.4b_seg.safetensors nor")],
)
def test_a_repository_without_weights_is_a_sentence(home, repo, says):
    with Hub({"me/words/README.md": b"words"}) as hub:
        report = home.run(hub, weights=repo)
    assert report["error"] == "WeightsMissingError"
    assert says in report["message"]


def test_a_packed_model_of_the_hub_runs_from_the_command_line(tmp_path):
    from sapiens_mlx.shipped import demo_folder, examples_folder

    shapes = store.read_shapes(demo_folder() / "sapiens2_demo_seg.safetensors")
    network = {"hidden_size": 192, "num_hidden_layers": 5, "num_attention_heads": 6}
    model = other_programs.mlx_vlm(tmp_path / "model", "seg", shapes, packed=AT_4BIT, **network)
    repo = "me/sapiens2-seg-demo-4bit"
    photo = sorted(examples_folder().glob("*.jpg"))[0]
    with Hub({f"{repo}/{path.name}": path.read_bytes() for path in model.iterdir()}) as hub:
        settings = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "hf"), "HOME": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, "-m", "sapiens_mlx", "predict", photo, "--weights", repo, "--out", tmp_path, "--json"],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[1])} | settings,
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode == 0, done.stderr
    assert f"note: Downloading {repo} (" in done.stderr
    report = json.loads(done.stdout)
    assert (report["task"], report["size"], report["level"]) == ("seg", "demo", "4bit")
    assert report["quantized_share"] > 0.5


# ---- what is told before a download ---------------------------------------------------------------------------------


def test_the_page_says_before_a_run_what_would_be_downloaded():
    from sapiens_mlx import costs
    from sapiens_mlx.ui import words

    def told(task, size, level):
        return words.cost(costs.cost(task, size, level))

    assert "Downloads about 20.28 GB;" in told("seg", "5b", "bf16")
    assert "Downloads about 2.85 GB;" in told("seg", "5b", "4bit")  # of a conversion, which the hub may have
    assert "Downloads about 98.8 MB" in told("detect", "rtmdet-m", "4bit")  # its own precision
    for task, size in (("seg", "demo"), ("albedo", "0.4b")):
        assert "Nothing to download" in told(task, size, "4bit")


def test_the_page_names_what_is_being_downloaded(monkeypatch):
    from sapiens_mlx.ui.progress import step
    from sapiens_mlx.weights import locate

    coming = locate.Offer(CONVERSION, ("model.safetensors",), 3_100_000_000, zoo.SAPIENS2_LICENCE)
    monkeypatch.setattr(locate, "coming", coming)
    assert step("download", 4e8, 3.1e9).words == f"Downloading 0.4 of 3.1 GB: {CONVERSION}"


def test_the_name_of_one_download_is_never_told_of_another(monkeypatch):
    from sapiens_mlx.weights import hub, locate

    named = []

    def download(repo, *rest):
        named.append(locate.coming and locate.coming.repo)
        if repo == SEG.repo:  # meanwhile another visitor's begins and ends
            locate.download(zoo.HAND_DETECTOR, print)
            named.append(locate.coming.repo)
        return Path(repo)

    monkeypatch.setattr(hub, "download", download)
    locate.download(SEG, print)
    assert named == [SEG.repo, None, SEG.repo]
    assert locate.coming is None


def test_of_several_files_only_the_bytes_of_a_download_are_added_up(monkeypatch, tmp_path):
    from sapiens_mlx.weights import hub, hub_cache, locate

    heard = []

    def download(repo, name, progress, commit):
        progress("load", 0, 1)
        progress("download", 0, 5)
        (tmp_path / name).write_bytes(bytes(5))
        return tmp_path / name

    monkeypatch.setattr(hub, "download", download)
    monkeypatch.setattr(hub_cache, "cached", lambda *rest: None)
    files = ("config.json", "model.safetensors")
    chosen = locate.Offer(CONVERSION, files, 10, zoo.SAPIENS2_LICENCE, commit=COMMIT)
    locate._download(chosen, lambda *report: heard.append(report))
    assert heard == [("load", 0, 1), ("download", 0, 10), ("load", 0, 1), ("download", 5, 10)]
