"""PLY and GLB, read back by another program's reader."""

import json
import re
import struct

import numpy as np
import pytest
import trimesh

from sapiens_mlx.errors import SapiensError
from sapiens_mlx.tasks import scene

HEIGHT, WIDTH, FOCAL_PX = 60, 80, 80.0
PHOTO = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
EVERYWHERE = np.ones((HEIGHT, WIDTH), bool)


def points_at(depth_m):
    """(H, W, 3) of a pinhole camera that sees `depth_m` (H, W)."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    return np.stack(
        [(x - WIDTH / 2) * depth_m / FOCAL_PX, (y - HEIGHT / 2) * depth_m / FOCAL_PX, depth_m + 0 * x], -1
    ).astype(np.float32)


WALL = points_at(2.0)


def mesh_of(path):
    return next(iter(trimesh.load(path).geometry.values()))


def test_a_cloud_moves_points_or_mixes_up_colours(tmp_path):
    keep = EVERYWHERE.copy()
    keep[:30] = False
    cloud = trimesh.load(scene.write_ply(tmp_path / "a.ply", WALL, PHOTO, keep, 10**6))
    assert (np.asarray(cloud.vertices, np.float32) == WALL[keep]).all()
    assert (np.asarray(cloud.colors)[:, :3] == PHOTO[keep]).all()


@pytest.mark.parametrize("most", [1, 2, 100, 1777, HEIGHT * WIDTH - 1])
@pytest.mark.parametrize("kept", [EVERYWHERE, EVERYWHERE & (np.arange(WIDTH) > 40)])
def test_a_cloud_has_too_many_points_or_few_of_those_allowed(tmp_path, most, kept):
    path = scene.write_ply(tmp_path / "a.ply", WALL, PHOTO, kept, most)
    count = int(re.search(rb"element vertex (\d+)", path.read_bytes())[1])
    assert count <= most
    if most >= 100:
        assert count >= 0.8 * min(most, kept.sum())


def test_points_of_a_cloud_are_not_spread_evenly(tmp_path):
    cloud = trimesh.load(scene.write_ply(tmp_path / "a.ply", WALL, PHOTO, EVERYWHERE, 300))
    quarters, _ = np.histogramdd(np.asarray(cloud.vertices)[:, :2], bins=2)
    assert np.ptp(quarters) <= 0.2 * quarters.mean()


def test_no_points_at_all_are_asked_for(tmp_path):
    with pytest.raises(SapiensError, match="number of points is 0"):
        scene.write_ply(tmp_path / "a.ply", WALL, PHOTO, EVERYWHERE, 0)


def test_a_mesh_is_mirrored_turned_away_or_wrongly_textured(tmp_path):
    mesh = mesh_of(scene.write_glb(tmp_path / "a.glb", WALL, PHOTO, EVERYWHERE, FOCAL_PX, 10**6))
    assert len(mesh.vertices) == HEIGHT * WIDTH and len(mesh.faces) == 2 * (HEIGHT - 1) * (WIDTH - 1)
    np.testing.assert_allclose(mesh.vertices, WALL.reshape(-1, 3) * (1, -1, -1), atol=1e-6)
    assert (mesh.face_normals @ (0, 0, 1) > 0.99).all()  # the camera looks to -z
    uv = np.asarray(mesh.visual.uv)  # trimesh counts v from the bottom
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    np.testing.assert_allclose(uv[:, 0], (x / WIDTH).ravel(), atol=1e-6)
    np.testing.assert_allclose(1 - uv[:, 1], (y / HEIGHT).ravel(), atol=1e-6)
    assert mesh.visual.material.baseColorTexture.size == (WIDTH, HEIGHT)


@pytest.mark.parametrize("most", [10**6, 600])
def test_a_mesh_joins_a_person_to_the_wall_behind(tmp_path, most):
    depth_m = np.full((HEIGHT, WIDTH), 4.0)
    depth_m[:, 30:60] = 2.0
    mesh = mesh_of(scene.write_glb(tmp_path / "a.glb", points_at(depth_m), PHOTO, EVERYWHERE, FOCAL_PX, most))
    assert len(mesh.vertices) <= most
    depths = -mesh.vertices[:, 2][mesh.faces]  # (F, 3)
    assert (np.ptp(depths, axis=1) == 0).all() and set(np.unique(depths)) == {2.0, 4.0}


def test_a_slanted_floor_is_torn(tmp_path):
    y = np.arange(HEIGHT)[:, None]
    floor = points_at(1.2 * FOCAL_PX / (y + 30.0) + np.zeros((1, WIDTH)))  # a level floor, seen from 1.2 m above
    mesh = mesh_of(scene.write_glb(tmp_path / "a.glb", floor, PHOTO, EVERYWHERE, FOCAL_PX, 10**6))
    assert len(mesh.faces) == 2 * (HEIGHT - 1) * (WIDTH - 1)


def test_a_mesh_uses_what_is_not_kept(tmp_path):
    keep = EVERYWHERE.copy()
    keep[10:20, 10:20] = False
    points = WALL.copy()
    points[~keep] = np.nan
    mesh = mesh_of(scene.write_glb(tmp_path / "a.glb", points, PHOTO, keep, FOCAL_PX, 10**6))
    assert len(mesh.vertices) == keep.sum() and np.isfinite(mesh.vertices).all()


def test_a_mesh_of_nothing_is_not_a_glb(tmp_path):
    path = scene.write_glb(tmp_path / "a.glb", WALL, PHOTO, ~EVERYWHERE, FOCAL_PX, 10**6)
    assert path.read_bytes()[:4] == b"glTF" and not trimesh.load(path).geometry


# ---- points as GLB --------------------------------------------------------------------------------------------------


def document_of(path):
    data = path.read_bytes()
    return json.loads(data[20 : 20 + struct.unpack("<I", data[12:16])[0]])


@pytest.mark.parametrize("most", [10**6, 1777, 1])
def test_a_cloud_as_glb_has_other_points_than_as_ply(tmp_path, most):
    keep = EVERYWHERE.copy()
    keep[:30, 20:50] = False
    points = WALL.copy()
    points[~keep] = np.nan
    path = scene.write_glb_points(tmp_path / "a.glb", points, PHOTO, keep, most)
    cloud = mesh_of(path)
    ply = trimesh.load(scene.write_ply(tmp_path / "a.ply", points, PHOTO, keep, most))
    assert isinstance(cloud, trimesh.PointCloud) and len(cloud.vertices) <= most
    np.testing.assert_allclose(cloud.vertices, ply.vertices * (1, -1, -1), atol=1e-6)
    primitive = document_of(path)["meshes"][0]["primitives"][0]
    assert primitive["mode"] == 0 and set(primitive["attributes"]) == {"POSITION", "COLOR_0"}


def test_a_clouds_colours_are_not_linear_light(tmp_path):
    path = scene.write_glb_points(tmp_path / "a.glb", WALL, PHOTO, EVERYWHERE, 10**6)
    document = document_of(path)
    view = document["bufferViews"][document["accessors"][1]["bufferView"]]
    start = path.stat().st_size - document["buffers"][0]["byteLength"] + view["byteOffset"]
    light = np.frombuffer(path.read_bytes()[start : start + view["byteLength"]], "<f4").reshape(-1, 3)
    srgb = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    np.testing.assert_allclose(255 * srgb, PHOTO.reshape(-1, 3), atol=0.01)


@pytest.mark.parametrize("cloud", [False, True])
def test_a_scenes_middle_is_elsewhere_or_its_surface_is_changed(tmp_path, cloud):
    points = points_at(np.linspace(1.0, 3.0, WIDTH)[None] + np.zeros((HEIGHT, 1)))  # farther to the right
    paths = []
    for number, centre_m in enumerate((None, 1.5)):
        path = tmp_path / f"{number}.glb"
        if cloud:
            scene.write_glb_points(path, points, PHOTO, EVERYWHERE, 10**6, centre_m)
        else:
            scene.write_glb(path, points, PHOTO, EVERYWHERE, FOCAL_PX, 10**6, centre_m)
        paths.append(path)
    plain, centred = map(trimesh.load, paths)
    np.testing.assert_allclose(centred.bounds.mean(0), (0, 0, -1.5), atol=1e-6)
    assert (centred.bounds[0] <= plain.bounds[0]).all() and (centred.bounds[1] >= plain.bounds[1]).all()
    if not cloud:
        assert centred.area == pytest.approx(plain.area)  # what was added has none


def test_a_cloud_of_nothing_is_not_a_glb(tmp_path):
    path = scene.write_glb_points(tmp_path / "a.glb", WALL, PHOTO, ~EVERYWHERE, 10**6, 1.0)
    assert path.read_bytes()[:4] == b"glTF" and not trimesh.load(path).geometry
