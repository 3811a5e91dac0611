"""Halves of sentences: what they share, the groups they agree on, and the directions in which groups differ."""

import numpy as np
import pytest
from sense_files import bags
from sklearn.metrics import adjusted_rand_score

from labkit.embeddings.halves import Halves, agreed_groups, discriminants, halve, nearest


def halved(centres, n: int = 300, noise: float = 0.5, seed: int = 0) -> tuple[Halves, np.ndarray]:
    """n points around each centre, whose halves differ from it by independent noise, and which centre it was."""
    rng = np.random.default_rng(seed)
    centres = np.asarray(centres, dtype=float)
    gold = np.repeat(np.arange(len(centres)), n)
    pairs = []
    for _ in range(2):
        pairs.append(tuple(centres[gold] + noise * rng.normal(size=(len(gold), centres.shape[1])) for _ in range(2)))
    return Halves((pairs[0][0] + pairs[0][1]) / 2, pairs, [np.ones(len(gold), bool)] * 2), gold


BLOBS = {
    "two": [[-2, 0, 0], [2, 0, 0]],
    "three": [[-3, 0, 0], [3, 0, 0], [0, 4, 0]],
    "four": [[-3, 0, 0], [3, 0, 0], [0, 4, 0], [0, 0, 4]],
}


def select(halves: Halves, rows: np.ndarray) -> Halves:
    """Some of the occurrences."""
    pairs = [(one[rows], other[rows]) for one, other in halves.pairs]
    return Halves(halves.whole[rows], pairs, [known[rows] for known in halves.known])


@pytest.mark.parametrize("name", BLOBS)
def test_halves_agree_on_as_many_groups_as_there_are(name, seed):
    halves, gold = halved(BLOBS[name], seed=seed)
    groups, scores = agreed_groups(lambda rows: select(halves, rows), len(gold), seed=seed)
    assert len(set(groups)) == len(BLOBS[name]) and max(scores.values()) > 0.9
    assert adjusted_rand_score(gold, groups) > 0.95


def test_groups_within_a_group_are_found_beside_a_distant_one(seed):
    """Two pairs of neighbours far from each other: the silhouette is highest for two groups, and each is divided."""
    halves, gold = halved([[-9, -1.5, 0], [-9, 1.5, 0], [9, 0, -1.5], [9, 0, 1.5]], noise=0.7, seed=seed)
    groups, _ = agreed_groups(lambda rows: select(halves, rows), len(gold), most=2, seed=seed)
    assert len(set(groups)) == 4 and adjusted_rand_score(gold, groups) > 0.9


def test_what_halves_share_counts_and_what_they_do_not_fades(seed):
    """Three directions of the same width: all signal, half noise, all noise. The first comes first, the last fades."""
    rng = np.random.default_rng(seed)
    signal = rng.normal(size=(20000, 3)) * [2.0, 1.4, 0.01]
    one, other = (signal + rng.normal(size=signal.shape) * [0.1, 1.4, 2.0] for _ in range(2))
    halves = Halves((one + other) / 2, [(one, other)], [np.ones(len(one), bool)])
    basis = halves.shared()
    seen = halves.seen_in(basis)
    assert np.allclose(seen.whole, halves.whole @ basis) and len(seen.pairs) == 1
    length = np.linalg.norm(basis[:, :2], axis=0)
    assert (np.abs(np.diag(basis[:2])) > 0.99 * length).all()
    widths = seen.whole.std(0)
    root = np.array([0.1, 1.4]) ** -0.5  # N^-1/4 of a noise of these standard deviations
    reliability = np.array([1, 1.4**2 / (1.4**2 + 1.4**2 / 2)])
    assert np.allclose(length, root * np.sqrt(reliability), rtol=0.05)
    assert widths[2] < 0.25 * widths[1] < widths[0]


def test_shared_directions_of_few_or_equal_halves_are_finite():
    points = np.ones((5, 2))
    for known in (np.zeros(5, bool), np.ones(5, bool)):
        assert np.isfinite(Halves(points, [(points, points)], [known]).shared()).all()


def test_halving_some_occurrences_is_halving_their_words(seed):
    around = bags(np.repeat([0, 1], 30), seed=seed)
    rows = np.arange(60) % 3 > 0
    part = around.select(rows)
    assert part.n == 40 and part.row.max() == 39 and len(part.ids) == 400
    vectors = np.random.default_rng(seed).normal(size=(60, 8))
    weights = np.ones(len(part.ids))
    halves, principal = halve(part, vectors, weights, components=4, halvings=3, seed=seed)
    assert halves.whole.shape == (40, 4) and principal.shape == (4, 8) and len(halves.pairs) == 3
    assert np.allclose(part.means(vectors, weights), around.means(vectors, np.ones(600))[rows])
    assert np.allclose(principal @ principal.T, np.eye(4))


def test_halves_that_share_nothing_do_not_agree(seed):
    rng = np.random.default_rng(seed)
    views = [rng.normal(size=(2000, 2)) for _ in range(3)]
    halves = Halves(views[0], [(views[1], views[2])], [np.ones(2000, bool)])
    assert abs(halves.agreement(np.array([[-1.0, 0], [1.0, 0]]))) < 0.02  # a standard deviation is about 1/2000


def test_halves_without_words_are_left_out():
    points = np.array([[-1.0], [1.0], [-1.0], [1.0]])
    other = np.array([[-1.0], [1.0], [1.0], [-1.0]])
    centres = np.array([[-1.0], [1.0]])
    assert Halves(points, [(points, other)], [np.array([True, True, False, False])]).agreement(centres) == 1.0
    assert Halves(points, [(points, other)], [np.zeros(4, bool)]).agreement(centres) == 0.0


def test_halves_that_all_fall_to_one_centre_tell_nothing():
    points = np.ones((4, 1))
    assert Halves(points, [(points, points)], [np.ones(4, bool)]).agreement(np.array([[1.0], [-1.0]])) == 0.0


def test_points_that_are_all_alike_are_one_group():
    points = np.ones((50, 3))
    groups, scores = agreed_groups(lambda rows: Halves(points, [(points, points)], [np.ones(50, bool)]), 50)
    assert groups.tolist() == [0] * 50 and scores == {}
    assert np.isfinite(discriminants(points, np.ones((50, 1)), 1)).all()


def test_the_noise_of_a_whole_is_measured_between_its_halves(seed):
    halves, gold = halved([[0, 0, 0], [5, 0, 0]], n=4000, noise=0.6, seed=seed)
    basis = np.eye(3)[:, :2]
    error = (halves.whole - np.array([[0, 0, 0], [5, 0, 0]])[gold]) @ basis
    assert np.allclose(halves.noise(basis), np.cov(error.T), atol=0.01)  # 0.18 on the diagonal, ± .002


def test_discriminants_find_the_plane_of_the_groups(seed):
    rng = np.random.default_rng(seed)
    gold = np.repeat(np.arange(3), 200)
    points = rng.normal(size=(600, 6)) * [1, 1, 1, 9, 9, 9]  # the widest directions say nothing
    points[:, :2] += np.array([[-4, 0], [4, 0], [0, 6]])[gold]
    plane = discriminants(points, np.eye(3)[gold], 2)
    assert plane.shape == (6, 2)
    shares = np.square(plane / np.linalg.norm(plane, axis=0))[:2].sum(0)
    assert (shares > 0.9).all()


def test_the_nearest_centre():
    assert nearest(np.array([[0.0, 1.0], [4.0, 4.0]]), np.array([[0.0, 0.0], [5.0, 5.0]])).tolist() == [0, 1]
