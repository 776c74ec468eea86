"""The handlers of the tab Features without a browser: what is drawn before a run can be stopped, and what is told."""

import handlers
import pytest
import rule
from handlers import REQUEST, last

from sapiens_mlx.ui import steps
from sapiens_mlx.ui.features import layout
from sapiens_mlx.ui.storage import FEATURES, FEATURES_SECOND

VALUES = {"size": "tiny", "level": "fp32", "foreground": "auto", "smooth": True, "opacity": 1, "point": None}


@pytest.fixture
def tab(machine, tiny_size, monkeypatch, tmp_path):
    """The tab with a photo, and weights for its features."""
    rule.write_tiny(machine, "features")
    tab = handlers.build(layout, "_connect", monkeypatch, tmp_path / "served")
    tab.visit = tab.visits.of(REQUEST.session_hash, FEATURES)
    tab.photo, tab.weights = handlers.add(tab.visit, "a.png"), machine
    return tab


def run(tab, second=None, **values):
    return tab.do.run(REQUEST, **VALUES | {"photo": handlers.in_frame(tab.visit), "second": second} | values)


def test_the_new_photo_is_shown_before_its_people_are_looked_for(tab):
    rule.write_tiny(tab.weights, "seg")
    running, shown = run(tab), {}
    while tab.view.pictures[0].colours not in shown:
        shown = next(running)
    assert tab.photo.mask is None
    assert shown[tab.view.panel]["visible"] is True
    running.close()  # Stop
    assert tab.do.stopped(REQUEST)[tab.view.panel]["visible"] is True


def test_the_first_photo_is_shown_before_the_second_is_computed(tab):
    other = tab.visits.of(REQUEST.session_hash, FEATURES_SECOND)
    handlers.add(other, "b.png")
    running, shown = run(tab, handlers.in_frame(other), foreground="none"), {}
    while tab.view.pictures[0].colours not in shown:
        shown = next(running)
    assert not other.photo.results
    assert tab.view.pictures[1].colours not in shown
    assert tab.view.pictures[1].colours in last(running)


def test_a_search_for_people_that_fails_leaves_the_colours_and_is_told_until_it_works(tab):
    end = last(run(tab))
    assert "Done" in end[tab.view.status] and tab.view.pictures[0].colours in end
    assert steps.NO_WEIGHTS in end[tab.view.notes]
    path = rule.write_tiny(tab.weights, "seg")
    whole = path.read_bytes()
    path.write_bytes(whole[:1000])
    end = last(tab.do.cut_out(REQUEST, **VALUES))
    assert steps.NOT_CUT_OUT in end[tab.view.notes] and steps.NO_WEIGHTS not in end[tab.view.notes]
    assert steps.NOT_CUT_OUT not in last(tab.do.cut_out(REQUEST, **VALUES | {"foreground": "none"}))[tab.view.notes]
    path.write_bytes(whole)
    end = last(tab.do.cut_out(REQUEST, **VALUES))
    assert steps.NOT_CUT_OUT not in end[tab.view.notes]
    assert tab.photo.mask is not None


def test_a_result_keeps_no_copy_of_the_photo_and_is_counted(tab, monkeypatch):
    counted = []
    monkeypatch.setattr(tab.visit, "room", lambda visit, coming: counted.extend(coming))
    last(run(tab, foreground="none"))
    result = tab.photo.results["features"]
    assert result.photo_rgb is tab.photo.rgb
    assert any(array is result.features for array in counted)


def test_people_are_coloured_in_the_look_of_when_they_are_found(tab):
    rule.write_tiny(tab.weights, "seg")
    last(run(tab, foreground="none"))
    cutting = tab.do.cut_out(REQUEST, **VALUES)
    next(cutting)
    asked = tab.do.ask(REQUEST, **VALUES | {"point": (0, 20, 30)})
    assert last(cutting)[tab.view.told] == asked[tab.view.told]
