"""The command bench: processes of their own in turns, what they cost by arithmetic, and peers that cannot be run."""

import json
import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import pytest
import rule
from command_line import run

from sapiens_mlx import arguments, zoo
from sapiens_mlx.bench import arithmetic, measure
from sapiens_mlx.nn import plain
from sapiens_mlx.nn.heads import DeconvHead, DeconvHeadConfig
from sapiens_mlx.weights import conversion, seeded

LOOKS_AT_PROCESSES = pytest.mark.skipif(sys.platform != "linux", reason="it looks at processes by /proc")

# ---- arithmetic -----------------------------------------------------------------------------------------------------


def test_products_and_convolutions_are_counted_one_by_one():
    class Small(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(3, 10), nn.Conv2d(10, 7, 3, padding=1)

        def __call__(self, x):
            return nn.relu(self.second(nn.relu(self.first(x))))

    cost = arithmetic.cost(Small(), (8, 6))
    assert cost.operations == 2 * (8 * 6 * 3 * 10 + 8 * 6 * 10 * 7 * 9)
    assert cost.activations == 8 * 6 * (3 + 10 + 10 + 7)


@pytest.mark.parametrize("size", ["0.1b", "0.4b", "5b"])
def test_a_backbones_operations_are_its_weights_times_its_tokens_and_attention(size):
    """Each weight of a Linear layer is used once for each token, and attention is two products of all with all."""
    row, module = zoo.SIZES[size], seeded.network("features", size)
    tokens, patches = 64 * 48 + 9, 64 * 48
    linear = sum(
        layer.weight.size for block in module.blocks for layer in block.modules() if isinstance(layer, nn.Linear)
    )
    padded = {76: 80}.get(row.embed_dim // row.num_heads, row.embed_dim // row.num_heads)
    attention = row.num_layers * 2 * tokens**2 * padded * row.num_heads
    expected = 2 * (tokens * linear + patches * 16 * 16 * 3 * row.embed_dim + attention)
    assert arithmetic.cost(module, row.input_hw).operations == expected


def test_scores_of_attention_need_not_be_in_memory():
    with_attention = arithmetic.cost(seeded.network("features", "0.4b"), (1024, 768)).activations
    tokens, blocks, width = 64 * 48 + 9, 24, 1024
    scores = blocks * 16 * tokens**2
    assert with_attention < scores
    # In and out of queries, keys, values, projection, w12 and w3, and of attention: about 25 widths a token.
    assert 20 * width * tokens * blocks < with_attention < 30 * width * tokens * blocks


def test_a_transposed_convolution_costs_what_its_four_phases_do():
    head = DeconvHead(DeconvHeadConfig(5, (7,), (), 3, "conv_seg"), plain)
    wider = [step for step in arithmetic.graph(_Fed(head, 5), (12, 10)) if step["name"] == "Convolution"]
    assert [tuple(step["inputs"][1][1]) for step in wider] == [(28, 2, 2, 5)]


class _Fed(nn.Module):
    """A head with as many input channels as it wants, made of the picture's three."""

    def __init__(self, head, channels):
        super().__init__()
        self.head, self._channels = head, channels

    def __call__(self, pixels):
        return self.head(mx.concatenate([pixels, pixels], axis=-1)[..., : self._channels])


def test_the_floor_is_the_slower_of_computing_and_moving():
    cost = arithmetic.Cost(operations=1000, activations=100)
    assert cost.bytes(weights_bytes=20, value_bytes=2) == 220
    assert cost.floor_seconds(20, 2, operations_per_second=10, bytes_per_second=1000) == 100
    assert cost.floor_seconds(20, 2, operations_per_second=1e9, bytes_per_second=2) == 110


# ---- the command ----------------------------------------------------------------------------------------------------


def test_a_network_alone(machine, capsys):
    status, out, error = run(capsys, "bench", "--task", "seg", "--size", "demo", "--turns", 2, "--json")
    assert status == 0, error
    result = json.loads(out)
    assert (result["task"], result["size"], result["level"], result["seeded"]) == ("seg", "demo", "fp32", False)
    assert len(result["seconds_all"]) == 2
    assert min(result["seconds_all"]) <= result["seconds"] <= max(result["seconds_all"])
    assert result["compute_dtype"] == "float32"
    assert 5e7 < result["peak_memory_bytes"] < 3e9
    assert result["licence"] == zoo.DEMO_LICENCE.name
    assert 0 < result["share_of_matmul_rate"] < 2
    assert result["floor_seconds"] > 0


def test_for_people_in_a_few_lines(machine, capsys):
    status, out, _ = run(capsys, "bench", "--turns", 1)
    assert status == 0
    assert out.startswith("seg demo fp32 on ")
    assert "GFLOP/s" in out


SMALL = """
from sapiens_mlx import zoo
from sapiens_mlx.bench.ours import Ours
from sapiens_mlx.bench.serve import serve
zoo.SIZES["tiny"] = zoo.Size("tiny", 64, 18, 2, 1_000_000, None, input_hw=(128, 96))
zoo.TASKS["seg"] = zoo.replace(zoo.TASKS["seg"], sizes=("tiny",))
serve(Ours)
"""


def test_where_no_weights_are_it_takes_seeded_ones_and_leaves_nothing(
    machine, tiny_size, capsys, tmp_path, monkeypatch
):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr("tempfile.tempdir", None)
    # The process that is measured has to know the small size too.
    (tmp_path / "small").mkdir()
    (tmp_path / "small/ours.py").write_text(SMALL)
    monkeypatch.setattr(measure, "__package__", "small")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(tmp_path), str(Path(__file__).resolve().parents[1]))))
    written = []

    def write(path, task, size):
        written.append(path)
        rule.write_checkpoint(path, rule.tiny_shapes(task))

    monkeypatch.setattr(seeded, "write", write)
    arguments = ("--task", "seg", "--size", "tiny", "--level", "8bit", "--turns", 1, "--json")
    status, out, error = run(capsys, "bench", *arguments)
    assert status == 0, error
    assert json.loads(out)["seeded"]
    assert [path.parent.parent for path in written] == [tmp_path / "scratch"]
    assert list((tmp_path / "scratch").iterdir()) == []
    assert conversion.conversions() == []


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--task", "detect"], "not a Sapiens2 network"),
        (["--task", "albedo", "--size", "0.4b", "--against", "torch"], "torch has no albedo"),
        (["--task", "features", "--size", "1b-4k", "--against", "mlx-vlm"], "mlx-vlm has no features at 1b-4k"),
        (["--size", "7b"], "does not come in size"),
        (["--level", "2bit"], "no quantization level"),
        (["--against", "onnx"], "invalid choice"),
        (["--turns", "0"], "not a count"),
        (["--weights", "/nowhere"], "no file or folder"),
    ],
)
def test_what_cannot_be_measured_is_said_in_one_line(machine, capsys, arguments, words):
    status, out, error = run(capsys, "bench", *arguments)
    assert (status, out) == (2, "")
    assert words in error
    assert len(error.splitlines()) == 1


# ---- peers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("peer, package", [("torch", "torch"), ("mlx-vlm", "mlx_vlm")])
def test_a_peer_that_is_not_installed_is_told_how_to_install_it(machine, capsys, peer, package):
    if find_spec(package):
        pytest.skip(f"{package} is installed")
    status, out, error = run(capsys, "bench", "--against", peer, "--turns", 1)
    assert (status, out) == (2, "")
    assert "pip install" in error
    assert len(error.splitlines()) == 1


def test_the_command_line_offers_every_peer():
    assert set(arguments.PEERS) == set(measure.PEERS)


PEER = """
import sys
sys.path.insert(0, {folder!r})
from serve import RefusedError, pixels, serve
import numpy as np
class Peer:
    about = {{"name": "a peer", "version": "1"}}
    def __init__(self, job):
        print("libraries talk")
        {load}
    def run(self):
        {run}
        return np.ones((1, 384, 288, 29), np.float32)
    def arrays(self, output):
        return [output]
    def device_peak_bytes(self):
        return None
    def machine(self):
        return {{}}
serve(Peer)
"""


@pytest.fixture
def peer(monkeypatch, tmp_path):
    """Puts a program of one's own in the place of mlx-vlm's."""

    def make(load="pass", run="pass"):
        path = tmp_path / "peer.py"
        path.write_text(PEER.format(folder=str(Path(measure.__file__).parent), load=load, run=run))
        monkeypatch.setitem(measure.PEERS, "mlx-vlm", path)

    return make


def test_a_peer_runs_in_turns_and_its_output_is_compared(machine, capsys, peer):
    peer()
    status, out, error = run(capsys, "bench", "--against", "mlx-vlm", "--turns", 3, "--json")
    assert status == 0, error
    result = json.loads(out)
    theirs = result["against"]
    assert (theirs["name"], len(theirs["seconds_all"]), len(result["ratios"])) == ("a peer", 3, 3)
    assert result["ratio"] == sorted(result["ratios"])[1]
    assert result["ratios"][0] == pytest.approx(result["seconds_all"][0] / theirs["seconds_all"][0], rel=0.3)
    assert result["output_difference"] > 0.1  # all ones are no logits
    assert theirs["peak_memory_bytes"] < result["peak_memory_bytes"]


def test_a_peer_that_refuses_says_why(machine, capsys, peer):
    peer(load="raise RefusedError('it has no people')")
    status, out, error = run(capsys, "bench", "--against", "mlx-vlm", "--json")
    assert (status, out) == (2, "")
    assert error.strip().endswith("mlx-vlm could not be run: it has no people.")


@pytest.mark.parametrize(
    "dies, words",
    [
        ({"run": "import os; os._exit(9)"}, "it ended with 9"),
        ({"run": "import os; os.kill(os.getpid(), 9)"}, "memory runs out"),
        ({"run": "raise MemoryError('no room\\nfor it')"}, "MemoryError: no room."),
        # before it is asked anything, so that nobody reads the question
        ({"load": "import os, threading; threading.Timer(0.01, os._exit, [9]).start()"}, "it ended with 9"),
    ],
)
def test_a_peer_that_dies_is_told_in_one_line(machine, capfd, peer, dies, words):
    peer(**dies)
    status, out, error = run(capfd, "bench", "--against", "mlx-vlm", "--json")
    assert (status, out) == (2, "")
    assert words in error
    assert "Traceback" not in error


@LOOKS_AT_PROCESSES
def test_ctrl_c_ends_it_without_a_word_of_its_processes():
    """As a terminal does it: the signal goes to the whole group."""
    command = [sys.executable, "-m", "sapiens_mlx", "bench", "--turns", "100000"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    until(lambda: children.read_text().split())
    child = int(children.read_text().split()[0])
    time.sleep(2)  # into its passes
    os.killpg(process.pid, signal.SIGINT)
    out, error = process.communicate(timeout=60)
    assert (process.returncode, out, error) == (130, "", "stopped\n")
    assert not Path(f"/proc/{child}").exists()


@LOOKS_AT_PROCESSES
def test_a_process_ends_with_the_one_that_asked_it():
    """Killed hard, nothing of it is left computing: its standard input ends."""
    program = (
        "import json, subprocess, sys, os\n"
        "job = json.dumps({'task': 'seg', 'size': 'demo', 'level': 'fp32', 'weights': None})\n"
        "child = subprocess.Popen([sys.executable, '-m', 'sapiens_mlx.bench.ours', job],"
        " stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
        "child.stdout.readline()\n"
        "print(child.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    parent = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    child = int(parent.stdout)
    stat = Path(f"/proc/{child}/stat")
    until(lambda: not stat.exists() or stat.read_text().split()[2] == "Z")


def until(done) -> None:
    """Waits for what happens in another process."""
    for _ in range(600):
        if done():
            return
        time.sleep(0.05)
    pytest.fail("it did not happen within half a minute")


@pytest.mark.peers
@pytest.mark.parametrize("name", ["torch", "mlx-vlm"])
@pytest.mark.parametrize("task", ["seg", "pose", "pointmap"])
def test_the_real_peers_compute_the_same(machine, capsys, name, task):
    pytest.importorskip({"torch": "transformers", "mlx-vlm": "mlx_vlm"}[name], reason=f"{name} is not installed")
    status, out, error = run(capsys, "bench", "--task", task, "--against", name, "--turns", 1, "--json")
    assert status == 0, error
    result = json.loads(out)
    assert result["output_difference"] < 2e-2  # RoPE: bfloat16 in ours, float32 in theirs; 1.3e-2 in pose on noise
    assert result["ratio"] > 0
