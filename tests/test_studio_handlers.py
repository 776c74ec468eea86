"""The Studio's handlers without a browser: what becomes of a run when something comes between, and of what is kept."""

from dataclasses import replace
from types import SimpleNamespace

import gradio as gr
import handlers
import numpy as np
import pytest
import rule
from handlers import REQUEST, last
from page_values import VALUES
from test_pose_panel import TWO

from sapiens_mlx import zoo
from sapiens_mlx.tasks.base import Report
from sapiens_mlx.tasks.detect import DetectResult
from sapiens_mlx.tasks.normal import NormalResult
from sapiens_mlx.tasks.seg import SegResult
from sapiens_mlx.ui import background, people, steps
from sapiens_mlx.ui.features import layout as features
from sapiens_mlx.ui.storage import Visits
from sapiens_mlx.ui.studio import layout, pose_panel, surfaces

TINY = VALUES | {"size": "tiny"}


@pytest.fixture
def studio(monkeypatch, tmp_path):
    tab = handlers.build(layout, "connect", monkeypatch, tmp_path / "served")
    tab.visit = tab.visits.of(REQUEST.session_hash)
    return tab


@pytest.fixture
def machine(machine, tiny_size):
    return machine


def keep(photo, task, result, size="demo", **values):
    result.report = Report(task, size, "fp32", "CPU", "float32", zoo.DEMO_LICENCE.name)
    photo.results[task], photo.ran_with[task] = result, VALUES | values
    return result


def add_seg(photo):
    labels = np.zeros(photo.rgb.shape[:2], np.uint8)
    labels[:20] = 4
    return keep(photo, "seg", SegResult(photo.rgb, labels, np.zeros((2, 2, 29), np.float32)))


def run(studio, *tasks, **values):
    return studio.do.run(REQUEST, **TINY | {"photo": handlers.in_frame(studio.visit), "tasks": list(tasks)} | values)


# ---- the run --------------------------------------------------------------------------------------------------------


def test_a_run_comes_to_its_end_when_another_photo_has_taken_the_place_of_its_own(studio, machine):
    rule.write_tiny(machine, "seg")
    first = handlers.add(studio.visit, "a.png")
    running = run(studio, "seg")
    while studio.visit.job is None:
        next(running)
    handlers.add(studio.visit, "b.png")
    end = last(running)
    assert end[studio.view.run]["interactive"] is True
    assert "seg" in first.results
    assert not end[studio.view.panel]["visible"]  # the photo that is there now has no results


def test_people_are_cut_out_once_the_weights_for_it_are_there(studio, machine):
    for task in ("normal", "albedo"):
        rule.write_tiny(machine, task)
    photo = handlers.add(studio.visit, "a.png")
    last(run(studio, "normal", "albedo"))
    assert photo.mask is None
    told = f"{steps.NOT_CUT_OUT} {steps.NO_WEIGHTS}"
    for task in ("normal", "albedo"):
        assert photo.results[task].report.notices.count(told) == 1
    assert told in surfaces.notices(studio.visit, photo, "albedo", TINY)
    assert told not in surfaces.notices(studio.visit, photo, "albedo", TINY | {"foreground": "none"})
    end = last(studio.do.cut_out(REQUEST, **TINY))
    assert steps.NO_WEIGHTS in end[studio.view.status]

    rule.write_tiny(machine, "seg")
    last(run(studio, "seg"))  # which that sentence advises
    np.testing.assert_array_equal(photo.mask, photo.results["seg"].foreground_mask())
    assert surfaces.notices(studio.visit, photo, "all", TINY) == []


def test_the_mask_that_comes_late_is_drawn_in_the_look_of_then_and_of_its_own_photo_alone(studio, machine, monkeypatch):
    for task in ("normal", "seg"):
        rule.write_tiny(machine, task)
    photo = handlers.add(studio.visit, "a.png")
    last(run(studio, "normal", foreground="none"))
    drawn = []
    monkeypatch.setattr(studio.do._pictures, "drawn", lambda visit, values: drawn.append(values) or {})
    cutting = studio.do.cut_out(REQUEST, **TINY)
    next(cutting)
    studio.visit.look = TINY | {"view": "picture"}
    assert last(cutting)[studio.view.run]["interactive"] is True
    assert [values["view"] for values in drawn] == ["picture"]

    photo.mask = photo.mask_of = None
    cutting = studio.do.cut_out(REQUEST, **TINY)
    next(cutting)
    handlers.add(studio.visit, "without results.png")
    assert "People are cut out" in last(cutting)[studio.view.status]
    assert photo.mask is not None and len(drawn) == 1


def test_a_background_that_is_missing_refuses_no_run_and_is_told(studio, machine):
    rule.write_tiny(machine, "matting")
    handlers.add(studio.visit, "a.png")
    updates = {}
    for one in run(studio, "matting", background="picture"):
        updates |= one
    assert "Done" in updates[studio.view.status]
    assert "no picture for the background yet" in updates[studio.view.notes]
    assert "--background" not in updates[studio.view.command]
    assert updates[studio.view.downloads[0]]["visible"]
    studio.visit.background = np.zeros((40, 40, 3), np.uint8)
    redrawn = studio.do.redraw(REQUEST, **TINY | {"background": "picture"})
    assert background.MISSING not in redrawn[studio.view.notes]


# ---- what is kept ---------------------------------------------------------------------------------------------------


def test_everybody_of_a_pose_that_arrives_is_in_its_files_and_of_one_that_cannot_be_chosen_of(studio):
    visit = studio.visit
    photo, other = handlers.add(visit, "a.png"), handlers.add(visit, "b.png")
    for one in (photo, other):
        keep(one, "pose", replace(TWO))
    visit.current, visit.surface = 0, "pose"
    visit.look = VALUES | {"pose_people": [], "pose_find": 7}  # as the page had it before there was anybody
    studio.do._whole(visit)
    assert (visit.look["pose_people"], visit.look["pose_find"]) == ([0, 1], pose_panel.NOWHERE)

    second = VALUES | {"pose_people": [1]}
    assert surfaces.options(visit, photo, "pose", second)["people"] == (1,)
    assert surfaces.options(visit, other, "pose", second)["people"] is None
    assert not surfaces.look(visit, photo, "pose", VALUES).is_same(surfaces.look(visit, photo, "pose", second))
    assert surfaces.look(visit, other, "pose", VALUES).is_same(surfaces.look(visit, other, "pose", second))
    assert {row[0] for row in studio.do.keypoints(REQUEST, **second)["data"]} == {2}
    visit.current = 1  # while another surface than its pose is shown
    assert {row[0] for row in studio.do.keypoints(REQUEST, **second)["data"]} == {1, 2}


def test_the_command_line_of_all_has_the_values_of_each_task(studio):
    visit = studio.visit
    photo = handlers.add(visit, "a.png")
    boxes = {"people": "own", "boxes": [["1", "2", "30", "40", ""]], "flip": False}
    keep(photo, "pose", replace(TWO), **boxes)
    keep(photo, "detect", DetectResult(photo.rgb, people.EMPTY, np.empty(0, np.float32)), "rtmdet-m", box_threshold=0.6)
    keep(photo, "normal", NormalResult(photo.rgb, np.zeros_like(photo.rgb, np.float32)))
    visit.surface = surfaces.ALL
    first, second = studio.do._pictures._command(visit, VALUES).splitlines()
    assert "pose,normal" in first and "--boxes=1,2,30,40" in first and "--no-flip" in first
    assert "--boxes" not in second and "--box-threshold 0.6" in second


def test_boxes_that_a_run_has_found_leave_the_visitors_own(studio):
    photo = handlers.add(studio.visit, "a.png")
    keep(photo, "detect", DetectResult(photo.rgb, np.float32([[0, 0, 9, 9]]), np.float32([0.5])))
    own = [["1", "2", "30", "40", ""]]
    assert studio.do.boxes_found(own, "own", REQUEST)["data"] == own
    assert studio.do.boxes_found(own, "find", REQUEST)["data"] == [["0.0", "0.0", "9.0", "9.0", "0.50"]]


@pytest.mark.parametrize(
    ("surface", "view", "asked"),
    [("seg", "picture", True), ("seg", "photo", True), ("seg", "beside", False), ("all", "picture", False)],
)
def test_a_press_is_a_place_where_one_picture_is_shown_alone(studio, surface, view, asked):
    photo = handlers.add(studio.visit, "a.png")
    add_seg(photo)
    studio.visit.surface = "seg"
    studio.visit.look = VALUES
    studio.do._whole(studio.visit)
    studio.visit.surface = surface
    answer = studio.do.pressed(REQUEST, SimpleNamespace(index=(5, 6)), **VALUES | {"view": view})
    assert photo.points == ([(5.5, 6.5)] if asked else [])
    assert (answer == gr.skip()) is not asked


def test_a_photo_that_has_gone_cannot_be_picked_and_the_frame_is_given_back(studio):
    photo = handlers.add(studio.visit, "a.png")
    updates = studio.do.photo_picked(REQUEST, SimpleNamespace(index=3))
    assert updates[studio.view.photo] == str(photo.shown)
    assert studio.visit.photo is photo


# ---- which event does what ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tab", [layout, features])
def test_no_photo_is_left_out_while_one_before_is_read_and_run_runs_once(tab, tmp_path):
    with gr.Blocks() as page:
        tab.build(Visits(tmp_path), None, tmp_path / "examples")
    of: dict[str, list[str]] = {}
    for event in page.fns.values():
        of.setdefault(event.name, []).append(event.trigger_mode)
    assert {*of["photo_changed"], *of.get("second_changed", ["multiple"])} == {"multiple"}
    assert of["cut_out"] == ["always_last"]
    asked = of["run_asked"]
    assert asked[0] == "once" and asked[-1] == "multiple"  # Run; the examples
    assert (of["run"][0], of["run"][-1]) == ("always_last", "multiple")
