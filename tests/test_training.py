"""The demo weights' training: the networks' checkpoints, which are the project's own format, losses, beginnings,
processes that train together, and what ships. The parts that need PyTorch are skipped without it."""

import os
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
from made_up_scene import made_up_scene

needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="PyTorch (training/requirements.txt) is not here")


# ---- networks -------------------------------------------------------------------------------------------------------


@needs_torch
@pytest.mark.parametrize("task", ["seg", "pose", "normal", "pointmap", "albedo", "matting"])
def test_a_trained_network_loads_in_mlx_and_computes_the_same(task):
    import mlx.core as mx
    import torch

    from sapiens_mlx import zoo
    from sapiens_mlx.nn.heads import Estimator
    from sapiens_mlx.weights import architecture, layouts
    from training.export import shipped_names
    from training.network import CONFIG, Config, Network

    config = Config(input_hw=(64, 96), embed_dim=64, kv_heads=(2, 1), ffn_dim=64, heads=CONFIG.heads)
    torch.manual_seed(0)
    network = Network((task,), config).eval()
    pixels = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        expected = network(pixels)[task]
    tensors = {name: mx.array(t.numpy()) for name, t in shipped_names(task, network.state_dict()).items()}
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    head = architecture.head_config(shapes, zoo.task_row(task).final_layer)
    module = Estimator(architecture.backbone_config(shapes, "backbone."), head)
    ours = [(name, layouts.ORIGINAL.change(name).apply(tensor)) for name, tensor in tensors.items()]
    module.load_weights(ours, strict=True)
    found = module(mx.array(pixels.numpy().transpose(0, 2, 3, 1)))
    if task == "pointmap":
        assert np.array(found[1]) == pytest.approx(expected[1].numpy(), abs=1e-4)
        expected, found = expected[0], found[0]
    if task == "matting":
        expected = expected.sigmoid()
    expected = expected.numpy().transpose(0, 2, 3, 1)
    assert np.linalg.norm(np.array(found) - expected) < 1e-2 * np.linalg.norm(expected)


@needs_torch
def test_a_window_is_cut_out_of_each_feature_map_at_its_corner():
    import torch

    from training.network import cut

    features = torch.randn(2, 3, 24, 18)
    first, second = cut(features, torch.tensor([[0, 9], [12, 4]]))
    assert torch.equal(first, features[0, :, :12, 9:]) and torch.equal(second, features[1, :, 12:, 4:13])


@needs_torch
@pytest.mark.parametrize("task", ["seg", "pose", "normal", "pointmap", "albedo", "matting"])
def test_a_task_alone_is_asked_what_the_trunk_asks_of_it(task):
    import torch
    from torch.utils.data import default_collate

    from training import train
    from training.data import WHOLE, dense_sample, pose_sample
    from training.network import CONFIG, Config, Network

    scene, rng = made_up_scene(240, 180), np.random.default_rng(2)
    dense = dense_sample(scene, (384, 288), False, rng, windowed=True)
    crop = pose_sample(scene, 0, (384, 288), rng, windowed=True)
    if task not in ("pose", *WHOLE):  # the trunk learns these from the crop's window too: here it is the view's
        crop |= {name: dense[name] for name in crop if name in dense}
    views, crops = default_collate([dense]), default_collate([crop])
    torch.manual_seed(0)
    network = Network((task,), Config(embed_dim=64, kv_heads=(2, 1), ffn_dim=64, heads=CONFIG.heads))
    keypoints = torch.arange(0, 308, 7)
    trunk = train.trunk_losses_of(network, {"dense": views, "pose": crops}, keypoints)
    alone = train.losses_of(network, crops if task == "pose" else views, task, keypoints)
    assert alone[task].item() == pytest.approx(trunk[task].item(), rel=0.02)  # bfloat16; batches of one and two


@needs_torch
def test_a_trunk_begins_with_every_head_and_the_mean_of_the_backbones(tmp_path, monkeypatch):
    import torch
    from safetensors.torch import save_file

    from training import export

    monkeypatch.setattr(export, "ASSETS", tmp_path)
    for value, task in enumerate(("seg", "normal"), start=1):
        tensors = {"backbone.weight": torch.full((2,), 2.0 * value), "decode_head.bias": torch.full((1,), value)}
        save_file(tensors, export.file_of(task))
    found = {name: tensor.tolist() for name, tensor in export.read_shipped("trunk").items()}
    assert found == {"backbone.weight": [3, 3], "heads.seg.bias": [1], "heads.normal.bias": [2]}
    assert export.read_shipped("normal")["backbone.weight"].tolist() == [4, 4]


@needs_torch
def test_the_files_that_ship_stay_small():
    from training import export, train

    states = {name: export.shipped_names(name, train.build(name).state_dict()) for name in export.ALL}
    assert 2 * sum(t.numel() for state in states.values() for t in state.values()) < 0.995 * export.MOST_BYTES


@needs_torch
def test_every_loss_falls_when_the_answer_gets_nearer():
    import torch

    from training import losses
    from training.data import dense_sample, pose_sample

    scene = made_up_scene()
    batch = {k: torch.from_numpy(np.asarray(v))[None] for k, v in dense_sample(scene, (96, 64), False).items()}
    person = pose_sample(scene, 0, (96, 64))
    batch |= {k: torch.from_numpy(np.asarray(v))[None] for k, v in person.items() if k != "pixels"}
    labels = batch["labels"].long()
    x, y = batch["keypoints"].unbind(-1)
    down, across = torch.arange(24)[:, None] - y[..., None, None], torch.arange(16) - x[..., None, None]
    answers = {
        "seg": 8.0 * torch.nn.functional.one_hot(labels, 29).permute(0, 3, 1, 2),
        "normal": batch["normals"].float(),
        "albedo": batch["albedo"] / 255,
        "matting": torch.logit((batch["matte"] / 255).clamp(1e-3, 1 - 1e-3)),
        "pose": torch.exp(-(down**2 + across**2) / (2 * losses.HEATMAP_SIGMA**2)),
        "pointmap": batch["points"].float(),
    }
    torch.manual_seed(0)
    for task, answer in answers.items():
        found = []
        for error in (2.0, 0.5, 0.0):
            raw = answer + error * torch.randn_like(answer)
            raw = (raw, batch["scale"][:, None] + error) if task == "pointmap" else raw
            found.append(float(losses.LOSSES[task](raw, batch)))
        assert found[0] > found[1] > found[2], task


@needs_torch
def test_the_other_side_costs_more_than_none_and_patches_of_neither_want_none():
    import torch

    from training import losses

    def cost(*logits: float) -> float:
        return float(losses.sides_loss(torch.tensor(logits).view(1, 1, 1, 3), torch.tensor([[[1.0, 0.0, 0.5]]])))

    assert cost(3, -3, 0) < cost(0, 0, 0) < cost(-3, 3, 0)
    assert cost(3, -3, 0) < min(cost(3, -3, 3), cost(3, -3, -3))
    labels = torch.full((1, 4, 4), 6)
    mine, others = (8.0 * torch.nn.functional.one_hot(n, 29).permute(0, 3, 1, 2) for n in (labels, labels + 9))
    unsided = 8.0 * torch.nn.functional.one_hot(labels - 2, 29).permute(0, 3, 1, 2)
    right, swapped, elsewhere = (float(losses.seg_loss(x, {"labels": labels})) for x in (mine, others, unsided))
    assert right < elsewhere < swapped  # a wrong class without a side is less wrong than the other side


@needs_torch
def test_half_the_distance_costs_as_much_as_twice_the_distance():
    import torch

    from training import losses
    from training.data import dense_sample

    sample = dense_sample(made_up_scene(), (96, 64), stretched=False)
    batch = {name: torch.from_numpy(np.asarray(value))[None] for name, value in sample.items()}
    truth, scale = batch["points"].float(), batch["scale"][:, None]
    exact, half, twice, thrice = (
        float(losses.pointmap_loss((factor * truth, scale), batch)) for factor in (1.0, 0.5, 2.0, 3.0)
    )
    assert half == pytest.approx(twice, rel=1e-3)
    assert exact < 0.01 < half < thrice


@needs_torch
def test_the_detectors_loss_wants_the_true_boxes():
    import torch

    from training import losses

    boxes = torch.zeros(1, 24, 4)
    boxes[0, :2] = torch.tensor([[100, 120, 300, 500], [350, 200, 420, 330.0]])
    batch = {"boxes": boxes, "people": torch.tensor([2])}
    points, _ = losses.grid([(80, 80), (40, 40), (20, 20)], torch.device("cpu"))

    def raw(shift: float, score: float) -> tuple[list, list]:
        """Each point gives the box whose middle is nearest, moved by `shift`; those inside have the score."""
        middles = (boxes[0, :2, :2] + boxes[0, :2, 2:]) / 2
        near = (points[:, None] - middles).norm(dim=-1).argmin(1)
        box = boxes[0, near] + shift
        sides = torch.cat([points - box[:, :2], box[:, 2:] - points], dim=1)
        inside = (sides.min(1).values > 0).float()
        logits = torch.where(inside > 0, score, -6.0)
        sizes, levels, maps = (6400, 1600, 400), logits.split((6400, 1600, 400)), sides.split((6400, 1600, 400))
        return (
            [part.view(1, 1, int(n**0.5), -1) for part, n in zip(levels, sizes, strict=True)],
            [part.T.reshape(1, 4, int(n**0.5), -1) for part, n in zip(maps, sizes, strict=True)],
        )

    far, near, right = (float(losses.detector_loss(raw(shift, 3.0), batch)) for shift in (60.0, 20.0, 0.0))
    assert far > near > right
    owners, quality = losses.assign(
        torch.zeros(8400), boxes[0, :1].repeat(8400, 1), boxes[0, :2], points, torch.ones(8400)
    )
    assert set(owners.unique().tolist()) == {-1, 0, 1} and quality[owners == 0].min() == 1


# ---- beginnings -----------------------------------------------------------------------------------------------------


@needs_torch
def test_a_network_begins_with_its_patches_and_looks_at_their_neighbours():
    import torch

    from training.network import EXTRA_TOKENS, Backbone, Config, look_around, rotate

    torch.manual_seed(0)
    config = Config(input_hw=(192, 192))
    backbone = Backbone(config).eval()
    look_around(backbone)
    pixels = torch.randn(1, 3, 192, 192)
    with torch.no_grad():
        alone = backbone.ln1(backbone.patch_embed(pixels)).transpose(1, 2).unflatten(2, (12, 12))
        assert torch.allclose(backbone(pixels), alone, atol=1e-5)  # blocks add nothing yet
        attention = backbone.blocks[0].attn
        x = torch.randn(1, EXTRA_TOKENS + 144, config.embed_dim)
        q = attention.q_norm(attention.wq(x).view(1, -1, 6, 32).transpose(1, 2))
        k = attention.k_norm(attention.wk(x).view(1, -1, 6, 32).transpose(1, 2))
        q, k = (rotate(t, backbone.sine, backbone.cosine)[:, :, EXTRA_TOKENS:].float() for t in (q, k))
        weights = (q @ k.transpose(-1, -2) / 32**0.5).softmax(-1)[0].unflatten(1, (12, 12)).unflatten(3, (12, 12))
    for head, (down, right) in enumerate(((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))):
        near = [weights[head, r, c, r + down, c + right] for r in range(2, 10) for c in range(2, 10)]
        assert torch.stack(near).mean() > 0.25  # of 144 places, one
    assert weights[5, 2:10, 2:10].amax(dim=(2, 3)).mean() < 0.25  # this one looks everywhere


@needs_torch
def test_a_patch_embedding_begins_with_components_of_the_same_variance(monkeypatch):
    import torch

    from training import network, train

    rng = np.random.default_rng(0)
    smooth = [cv2.GaussianBlur(rng.normal(128, 60, (64, 64, 3)), (0, 0), 2) for _ in range(40)]
    pictures = [np.clip(2 * p - 128, 0, 255).astype(np.uint8).transpose(2, 0, 1) for p in smooth]
    monkeypatch.setattr(train, "endless", lambda *_: iter([{"pixels": p} for p in pictures]))
    embedding = network.PatchEmbed(64)
    train.whiten_patches(embedding, (64, 64), samples=40)
    with torch.no_grad():
        tokens = embedding(train.normalise(torch.from_numpy(np.stack(pictures)))).flatten(0, 1)
    assert tokens.mean(0).abs().max() < 0.02
    covariance = torch.cov(tokens.T)
    spread = covariance.diagonal()
    assert spread.max() < 1.1 and spread.min() > 0.05
    assert (covariance - torch.diag(spread)).abs().max() < 0.02


@needs_torch
def test_processes_that_train_together_average_their_gradients(tmp_path):
    script = tmp_path / "rank.py"
    script.write_text(
        "import torch\n"
        "from training.ranks import Ranks\n"
        "ranks = Ranks()\n"
        "weight = torch.nn.Parameter(torch.zeros(3))\n"
        "unused = torch.nn.Parameter(torch.zeros(2))\n"
        "weight.grad = torch.arange(3.0) + 10 * ranks.rank\n"
        "ranks.average_gradients([weight, unused])\n"
        "print(weight.grad.tolist(), unused.grad, ranks.most(float(ranks.rank), 2.0 - ranks.rank))\n"
        "ranks.leave()\n"
    )
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
    }
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        environment["MASTER_PORT"] = str(free.getsockname()[1])
    both = [
        subprocess.Popen(
            [sys.executable, str(script)], env={**environment, "RANK": str(rank)}, stdout=subprocess.PIPE, text=True
        )
        for rank in (0, 1)
    ]
    for process in both:
        assert process.communicate(timeout=120)[0].strip() == "[5.0, 6.0, 7.0] None [1.0, 2.0]"


# ---- what ships -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_shipped_weights_hold_what_they_reached():
    """Twelve of the 200 scenes of the model card's figures, so with some room below these."""
    from training.evaluate import evaluate

    found = evaluate(seed=1, count=12)
    at_least = {"seg_miou": 0.22, "seg_accuracy": 0.89, "pck_body": 0.61, "pck_all": 0.79, "detector_ap50": 0.70}
    at_most = {"normal_mean_deg": 28.5, "depth_absrel": 0.42, "albedo_mae": 0.12, "alpha_mae": 0.058}
    assert set(found) == {*at_least, *at_most}
    assert all(found[name] >= value for name, value in at_least.items()), found
    assert all(found[name] <= value for name, value in at_most.items()), found
