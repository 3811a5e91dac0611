"""Agreement of clusterings: figures that can be worked out by hand, and what each is blind to."""

import numpy as np
import pytest

from labkit.evaluate.clusters import METRICS, b_cubed, cluster_scores, paired_f

GOLD = np.array(["a", "a", "a", "b", "b", "c"])


def test_the_same_partition_under_other_names_is_perfect():
    scores = cluster_scores(GOLD, np.array([7, 7, 7, 2, 2, 5]))
    assert scores.pop("clusters") == 3
    assert all(abs(value - 1) < 1e-12 for value in scores.values()) and set(scores) | {"clusters"} == set(METRICS)


def test_paired_f_by_hand():
    # pairs of one sense: 3 + 1 + 0; pairs in one cluster {a,a},{a,b},{b,c}: 3; in both: 1
    assert paired_f(GOLD, np.array([0, 0, 1, 1, 2, 2])) == pytest.approx(2 * 1 / (4 + 3))
    assert paired_f(np.arange(4), np.arange(4)) == 0


def test_b_cubed_by_hand():
    # precision: a,a 1, then ½ for the other four; recall: ⅔, ⅔, ⅓, then ½, ½, and 1
    precision, recall = (2 + 4 * 0.5) / 6, (2 / 3 + 2 / 3 + 1 / 3 + 0.5 + 0.5 + 1) / 6
    expected = 2 * precision * recall / (precision + recall)
    assert b_cubed(GOLD, np.array([0, 0, 1, 1, 2, 2])) == pytest.approx(expected)


def test_what_each_figure_makes_of_trivial_clusterings():
    gold = np.repeat(["a", "b"], 50)
    one, each = cluster_scores(gold, np.zeros(100)), cluster_scores(gold, np.arange(100))
    assert one["ari"] == each["ari"] == 0 and one["ami"] == 0 and abs(each["ami"]) < 1e-9
    assert each["v"] > 0.2 > one["v"]  # V is not corrected for chance: it rises with the number of clusters
    assert one["paired_f"] > 0.6 > each["paired_f"]  # and paired F falls


def test_random_labels_have_no_corrected_agreement():
    """The mean ARI of 100 random clusterings of 60 occurrences is 0 within four standard errors."""
    rng, gold = np.random.default_rng(0), np.repeat(["a", "b", "c"], 20)
    ari = [cluster_scores(gold, rng.integers(3, size=60))["ari"] for _ in range(100)]
    assert abs(np.mean(ari)) < 4 * np.std(ari) / np.sqrt(100)


@pytest.mark.parametrize(
    "gold, labels, message",
    [
        (["a", "b"], [0], r"got gold of shape \(2,\) and labels of \(1,\)"),
        (["a", "a"], [0, 1], r"the 2 occurrences have 1 sense\(s\); expected two at least"),
        ([], [], r"the 0 occurrences have 0 sense\(s\)"),
    ],
)
def test_what_cannot_be_scored(gold, labels, message):
    with pytest.raises(ValueError, match=message):
        cluster_scores(np.array(gold), np.array(labels))
