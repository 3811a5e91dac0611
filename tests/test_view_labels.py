import numpy as np
import pytest

from labkit.view.labels import place_labels, text_width, wrapped

FRAME = (600.0, 500.0)


def overlap(centres, sizes):
    away = np.abs(centres[:, None] - centres) < (sizes[:, None] + sizes) / 2
    return (away.all(-1) & ~np.eye(len(centres), dtype=bool)).any()


@pytest.mark.parametrize("count", [1, 2, 4, 7])
@pytest.mark.parametrize("anchors", ["apart", "all in one place", "in the corners"])
def test_labels_overlap_nothing_and_stay_inside(count, anchors, seed):
    random = np.random.default_rng(seed)
    places = {
        "apart": random.uniform((0, 0), FRAME, (count, 2)),
        "all in one place": np.full((count, 2), 250.0),
        "in the corners": np.array([(0, 0), FRAME] * count, dtype=float)[:count],
    }[anchors]
    sizes = random.uniform((60, 30), (160, 60), (count, 2))
    centres = place_labels(places, sizes, FRAME, random.uniform((0, 0), FRAME, (300, 2)))
    assert not overlap(centres, sizes)
    assert (centres - sizes / 2 >= 0).all() and (centres + sizes / 2 <= FRAME).all()


def test_a_label_keeps_off_the_marks_and_near_its_anchor(seed):
    cloud = np.random.default_rng(seed).normal((300, 250), 40, (400, 2))
    (centre,) = place_labels(np.array([[300.0, 250.0]]), np.array([[120.0, 50.0]]), FRAME, cloud)
    covered = (np.abs(cloud - centre) < (60, 25)).all(1).sum()
    assert covered <= 3 and np.hypot(*(centre - (300, 250))) < 220


def test_there_may_be_none():
    assert place_labels(np.empty((0, 2)), np.empty((0, 2)), FRAME, np.empty((0, 2))).shape == (0, 2)


def test_words_are_wrapped_shortened_or_left_out():
    assert wrapped([], 10, 100) == []
    (only,) = wrapped(["incomprehensibilities"], 10, 60)
    assert only.endswith("…") and text_width(only, 10) <= 60
    rows = wrapped(["river", "water", "shore", "grass", "boat", "fish"], 10, 80)
    assert len(rows) == 2 and all(text_width(row, 10) <= 80 for row in rows)
    assert text_width("水", 10) > text_width("w", 10) > text_width("i", 10)
