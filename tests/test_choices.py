"""What the Studio offers before a run, and what of it a browser may bring back: sizes, levels, and their costs."""

import importlib
from pathlib import Path

import gradio as gr
import pytest

from sapiens_mlx import costs, inventory, runtime, zoo
from sapiens_mlx.tasks.base import Report
from sapiens_mlx.ui import controls, open_radio
from sapiens_mlx.ui.open_radio import OpenRadio
from sapiens_mlx.ui.preferences import _can_be
from sapiens_mlx.ui.studio import choices

ALL = list(zoo.LEVELS)


@pytest.fixture
def memory(monkeypatch):
    """Sets how much memory there is for models, in bytes."""

    def limit(size_bytes):
        monkeypatch.setattr(runtime, "memory_limit_bytes", lambda: int(size_bytes))

    limit(1e12)
    return limit


def changed(tasks, size="demo", level="fp32", wanted="demo"):
    """The updates, by what they are of."""
    names = ("size", "level", "too_large", "people", "flip", "hands", "about")
    return dict(zip(names, choices.changed(tasks, size, level, wanted, None), strict=True))


def names(update):
    """The names among the choices of an update."""
    return [one[1] if isinstance(one, tuple) else one for one in update["choices"]]


# ---- sizes and levels -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tasks", "sizes"),
    [
        (["seg"], ["demo", "0.4b", "0.8b", "1b", "5b"]),
        (["matting"], ["demo", "1b"]),
        (["matting", "seg"], ["demo", "0.4b", "0.8b", "1b", "5b"]),
        (["detect"], ["demo", "rtmdet-m"]),
        (["detect", "matting"], ["demo", "1b"]),
        (["hands"], ["wilor"]),
        (["hands", "matting"], ["demo", "1b"]),
        (["hands", "detect"], ["demo", "rtmdet-m"]),
        ([], ["demo", "0.4b", "0.8b", "1b", "5b"]),
    ],
)
def test_the_sizes_that_any_of_the_tasks_comes_in_are_offered(memory, tasks, sizes):
    assert names(changed(tasks)["size"]) == sizes


@pytest.mark.parametrize(
    ("tasks", "size", "wanted", "chosen"),
    [
        (["seg"], "0.4b", "0.4b", None),  # a value is given where it is another one alone
        (["matting"], "0.4b", "0.4b", "1b"),
        (["seg"], "1b", "0.4b", "0.4b"),  # back to what the visitor chose last
        (["detect"], "0.4b", "0.4b", "rtmdet-m"),
        (["detect"], "demo", "demo", None),
        (["seg"], "rtmdet-m", "demo", "demo"),
        (["hands"], "0.4b", "0.4b", "wilor"),
        (["seg", "hands"], "wilor", "0.4b", "0.4b"),
        (["hands", "detect"], "wilor", "0.4b", "rtmdet-m"),
    ],
)
def test_the_size_stays_what_the_visitor_chose_where_it_can(memory, tasks, size, wanted, chosen):
    assert changed(tasks, size, wanted=wanted)["size"].get("value") == chosen


def test_what_is_looked_at_one_by_one_has_people_and_pose_the_mirrored_pass(memory):
    def visible(tasks):
        updates = changed(tasks)
        return [updates[name]["visible"] for name in ("level", "people", "flip", "hands")]

    assert visible(["seg"]) == [True, False, False, False]
    assert visible(["seg", "pose"]) == [True, True, True, False]
    assert visible(["detect"]) == [False, True, False, False]
    assert visible(["detect", "seg"]) == [True, True, False, False]
    assert visible(["hands"]) == [True, False, False, True]
    assert visible(["detect", "hands"]) == [True, True, False, True]


@pytest.mark.parametrize(
    ("tasks", "level", "offered", "chosen"),
    [
        (["hands"], "4bit", zoo.HANDS.levels, None),
        (["hands"], "8bit", zoo.HANDS.levels, "bf16"),
        (["hands", "detect"], "nvfp4", zoo.HANDS.levels, "4bit"),
        (["hands", "seg"], "8bit", ALL, None),
    ],
)
def test_levels_that_hands_come_at_are_offered_where_nothing_comes_at_others(memory, tasks, level, offered, chosen):
    updates = changed(tasks, level=level)
    assert (names(updates["level"]), updates["level"].get("value")) == (list(offered), chosen)


def test_hands_name_their_licences_and_the_level_that_is_taken(memory, machine):
    told = changed(["hands", "seg"], level="8bit")["about"]
    assert "which do not come at 8bit: bf16 is taken" in told
    assert all(told.count(f'"{licence.url}"') == 1 for licence in zoo.HANDS_LICENCES.values())
    assert zoo.WILOR_POSE.repo in told and zoo.WILOR_MINI.repo in told
    assert "taken" not in changed(["hands"], level="4bit")["about"]
    memory(1e8)  # for not even the least level of hands
    least = changed(["hands"], level="fp32")
    assert names(least["level"]) == ["4bit"] and "Too large" in least["too_large"]


def test_levels_that_do_not_fit_are_not_offered_and_told_with_what_they_take(memory):
    needed = {level: inventory.needed_bytes("5b", level) for level in ALL}
    memory((needed["8bit"] + needed["bf16"]) / 2)
    updates = changed(["seg"], "5b", "fp32", "5b")
    fitting = [level for level in ALL if needed[level] <= runtime.memory_limit_bytes()]
    assert 0 < len(fitting) < len(ALL)
    assert names(updates["level"]) == fitting
    assert updates["level"]["value"] == fitting[0]  # fp32 was chosen, which is none of them
    assert updates["about"].count(zoo.SAPIENS2_LICENCE.name)
    for level in ALL:
        line = f">{level}: {inventory.amount(needed[level])}<"
        assert (line in updates["too_large"]) == (level not in fitting)
    assert f"{inventory.amount(runtime.memory_limit_bytes())} may be used" in updates["too_large"]


def test_a_size_that_fits_at_no_level_is_not_offered_and_told_with_the_least_it_takes(memory):
    least = min(inventory.needed_bytes("5b", level) for level in ALL)
    memory(least - 1)
    updates = changed(["seg"], "5b", "8bit", "5b")
    assert "5b" not in names(updates["size"])
    assert updates["size"]["value"] == names(updates["size"])[-1]
    assert f">5b: at least {inventory.amount(least)}<" in updates["too_large"]
    assert changed(["seg"])["too_large"].count("<li") == 1


# ---- what it takes --------------------------------------------------------------------------------------------------


def test_seconds_are_told_when_every_task_has_been_run(machine, memory):
    def told(*tasks):
        return changed(list(tasks))["about"]

    assert "Nothing to download; about " in told("seg", "normal")
    assert " s a photo" not in told("seg", "normal").split('class="cost"')[1]
    costs.remember(Report("seg", "demo", "fp32", runtime.device_name(), "float32", "", {"network": 20, "decode": 3}))
    assert "; about 23 s a photo." in told("seg")
    assert "; perhaps 46 s a photo." in told("seg", "normal")  # of another task at this size
    assert choices.expected_seconds("seg", "demo", "fp32") == 23
    assert choices.expected_seconds("detect", "demo", "fp32") is None


def test_nothing_ticked_costs_nothing(memory):
    about = changed([])["about"]
    assert "Tick at least one" in about
    assert "cost" not in about


def test_a_folder_of_weights_that_cannot_be_read_is_left_to_the_run(memory, tmp_path):
    broken = tmp_path / "weights.safetensors"
    broken.write_bytes(b"no weights")
    about = choices.changed(["seg"], "0.4b", "4bit", "0.4b", str(broken))[-1]
    assert zoo.SAPIENS2_LICENCE.name in about


# ---- what a browser brings back -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("component", "good", "bad"),
    [
        (gr.Slider(0.2, 1), [0.2, 1, 0.5], [0, 1.1, "0.5", None, [0.5], {}]),
        (gr.Checkbox(), [True, False], [1, 0, "true", None]),
        (gr.Radio([("Demo", "demo"), ("Larger", "0.4b")]), ["demo", "0.4b"], ["Demo", "9b", None, 1, "", [], {}]),
        (gr.CheckboxGroup([("Pose", "pose"), ("Depth", "pointmap")]), [["pose"], ["pointmap", "pose"]],
         [[], ["Pose"], ["pose", "nose"], "pose", None, [["pose"]], {}]),
        (gr.Textbox(), [], ["a", "", None]),
    ],
    ids=["slider", "checkbox", "radio", "group", "text"],
)  # fmt: skip
def test_a_value_that_is_none_of_the_component_is_not_taken(component, good, bad):
    assert [value for value in good if not _can_be(component, value)] == []
    assert [value for value in bad if _can_be(component, value)] == []


def test_what_is_remembered_is_no_photo_and_can_be_brought_back():
    from sapiens_mlx.ui.studio import layout as studio

    assert not {"photo", "boxes", "place", "background", "surface"} & set(studio.REMEMBERED)
    with gr.Blocks():
        for task in controls.TASKS:
            components = controls.build(task)
            for control in controls.CONTROLS[task]:
                assert _can_be(components[controls.name(task, control)], control.readme)


def test_a_size_that_was_offered_when_it_was_sent_is_taken():
    radio = OpenRadio(["demo", "0.4b"])
    assert radio.preprocess("rtmdet-m") == "rtmdet-m"
    with pytest.raises(gr.Error, match="not in the list"):
        radio.preprocess("9b")
    assert radio.get_block_name() == "radio"


def test_gradio_writes_nothing_beside_the_source():
    written = Path(open_radio.__file__).with_suffix(".pyi")
    written.unlink(missing_ok=True)  # left by a version before
    importlib.reload(open_radio)
    assert not written.exists()
