import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, MultivariateNormal, Normal

import labkit as lk
from labkit.view.explorer.fields import PROBS, Field, Reading
from labkit.view.explorer.planes import (
    UMAP_WARNING,
    coordinate_plane,
    discriminant_plane,
    neighbour_map,
    principal_plane,
)
from tests.test_view_fakes import FakeModel

RIVER, MONEY = "we sat on the grassy bank of the river", "the bank lent them money for the house"


@pytest.fixture(scope="module")
def quickstart():
    return lk.load("quickstart")


@pytest.fixture
def bank(quickstart):
    return Reading(quickstart, "bank")


def normal_field(resolution=201):
    axis = np.linspace(-6, 6, resolution)
    return Field((axis, axis), -0.5 * (axis**2 + axis[:, None] ** 2) - np.log(2 * np.pi))


def two_hills(k: int):
    places = torch.zeros(2, k)
    places[:, 0] = torch.tensor([-2.0, 2.0])
    return MixtureSameFamily(
        Categorical(torch.tensor([0.3, 0.7])), Independent(Normal(places, torch.ones(2, k) / 2), 1)
    )


def test_levels_of_a_normal_are_known():
    # the region of share p of N(0, I_2) is the disc of radius sqrt(-2 log(1 - p)): log p = log(1 - p) - log 2π there
    expected = np.log(1 - np.array(PROBS)) - np.log(2 * np.pi)
    assert normal_field().levels(PROBS) == pytest.approx(expected, abs=0.03)
    assert normal_field().entropy == pytest.approx(1 + np.log(2 * np.pi), abs=1e-3)


def test_a_share_that_the_box_does_not_hold_has_no_border():
    axis = np.linspace(-0.5, 0.5, 50)
    half = Field((axis,), np.full(50, np.log(0.5)))
    assert half.levels([0.4])[0] == pytest.approx(np.log(0.5)) and half.levels([0.9])[0] == -np.inf


def test_draws_lie_in_the_regions_as_often_as_they_say():
    field = normal_field()
    places, node = field.draw(20_000, seed=1)
    held = (-0.5 * np.square(places).sum(1) - np.log(2 * np.pi))[:, None] >= field.levels(PROBS)
    # 4 standard errors of a share of 20,000 draws
    assert np.abs(held.mean(0) - PROBS).max() < 4 * np.sqrt(0.25 / 20_000)
    assert np.abs(places - np.stack([field.axes[0][node % 201], field.axes[1][node // 201]], 1)).max() < 0.031


def test_the_same_seed_moves_no_draw():
    assert np.array_equal(normal_field().draw(50)[0], normal_field().draw(50)[0])


def test_the_field_is_the_density(bank):
    rows, columns = np.array([10, 60, 100]), np.array([40, 60, 90])
    places = np.stack([bank.field.axes[0][columns], bank.field.axes[1][rows]], 1)
    own = bank.density.log_prob(torch.as_tensor(places, dtype=torch.float32))
    assert bank.field.log_prob[rows, columns] == pytest.approx(own.numpy(), abs=1e-3)
    assert bank.field.mass.sum() == pytest.approx(1, abs=5e-3)
    assert bank.field.entropy == pytest.approx(bank.density.entropy().value, abs=0.02)


@pytest.mark.parametrize("sentence", [RIVER, MONEY, "a lamp at the bank", "bank river money shore loan"])
def test_the_table_moves_the_density_as_bayes_rule_does(bank, sentence):
    """Against `given`, which computes the same on a grid of its own: total variation below 4 %."""
    field, exact = bank.given(sentence).field, bank.density.given(sentence)
    nodes = np.stack(np.meshgrid(*field.axes), -1).reshape(-1, 2)
    other = exact.log_prob(torch.as_tensor(nodes, dtype=torch.float32)).double().exp().numpy() * field.cell
    assert 0.5 * np.abs(field.mass.ravel() - other).sum() < 0.04
    assert field.mass.sum() == pytest.approx(1)


def test_between_two_sentences_the_ends_are_the_sentences(bank):
    for share, sentence in ((0.0, RIVER), (1.0, MONEY)):
        moved, alone = bank.given(RIVER, MONEY, share).field, bank.given(sentence).field
        assert np.array_equal(moved.log_prob, alone.log_prob)
    middle = bank.given(RIVER, MONEY, 0.5).field
    tilt = (bank.log_likelihood(RIVER) + bank.log_likelihood(MONEY)) / 2
    assert middle.entropy == pytest.approx(bank._tilted(bank.field, tilt).entropy, abs=0.05)


def test_a_narrow_density_gets_a_box_of_its_own(bank):
    moved = bank.given("river " * 12).field
    assert moved.cell < 0.5 * bank.field.cell


def test_a_sentence_without_known_words_is_refused(bank):
    with pytest.raises(ValueError, match="no word of the context is known"):
        bank.given("xyzzy")


@pytest.mark.parametrize("k", [1, 2, 4])
def test_every_number_of_coordinates_has_a_field(k):
    density = two_hills(k)
    plane = principal_plane([density]) if k > 2 else None
    field = Reading({"w": density}, "w", plane, 60).field
    assert len(field.axes) == min(k, 2) and 0.97 < field.mass.sum() < 1.01
    assert np.diff(field.levels(PROBS)).max() < 0


def test_a_turned_plane_holds_the_same_density():
    density = MultivariateNormal(torch.zeros(2), torch.tensor([[2.0, 1.2], [1.2, 1.0]]))
    turned = Reading({"w": density}, "w", principal_plane([density], 4000), 120)
    assert turned.field.entropy == pytest.approx(density.entropy().item(), abs=5e-3)
    along = [(turned.field.mass.sum(i) * axis**2).sum() for i, axis in enumerate(turned.field.axes)]
    assert along[0] == pytest.approx(torch.linalg.eigvalsh(density.covariance_matrix)[1].item(), rel=0.05)


def test_a_model_that_only_answers_given_is_asked():
    moved = Reading(FakeModel("StochasticEmbedding"), "bank").given("the grassy bank of the river")
    assert moved.points is not None and moved.field.mass.sum() == pytest.approx(1, abs=0.02)


def test_the_posterior_over_many_coordinates_says_what_its_samples_are_worth():
    corpus = lk.Corpus.from_sentences(["a small red boat", "a big red bus", "a small boat"] * 9, min_count=1)
    settings = dict(layers=1, bins=4, vector_dim=4, word_dim=4, batch_size=8)
    model = lk.StochasticEmbedding(dim=3, steps=3, **settings).fit(corpus, progress=False)
    reading = Reading(model, "red", coordinate_plane(3, 0, 2), 40)
    moved = reading.given("a red bus")
    assert 1 < moved.effective_samples <= 4096 and moved.field.log_prob.shape == (40, 40)


# --- planes -----------------------------------------------------------------------------------------------------


def test_discriminants_find_classes_and_shuffled_labels_find_none():
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 400)
    points = random.normal(size=(1200, 5)) * (1, 6, 1, 1, 1)
    points[:, 2] += 4 * labels  # apart along a coordinate that has little of the variance
    plane, separation = discriminant_plane(points, labels)
    assert np.abs(plane.components[2]).max() > 0.95
    assert plane.components.T @ plane.components == pytest.approx(np.eye(2), abs=1e-9)
    assert separation.held_out > 0.9 and abs(separation.control - 1 / 3) < 0.08
    assert "shuffled labels" in str(separation)


def test_two_classes_have_one_discriminant_and_a_second_axis():
    points = np.random.default_rng(0).normal(size=(400, 3))
    labels = np.repeat([0, 1], 200)
    points[200:, 0] += 5
    plane, separation = discriminant_plane(points, labels)
    assert abs(plane.components[0, 0]) > 0.97 and separation.held_out > 0.95 and separation.chance == 0.5


def test_planes_say_what_they_need():
    with pytest.raises(ValueError, match="two classes of at least ten points; got classes of .30."):
        discriminant_plane(np.zeros((30, 3)), np.zeros(30, dtype=int))
    with pytest.raises(ValueError, match="between 0 and 2; got 1 and 1"):
        coordinate_plane(3, 1, 1)
    with pytest.raises(ValueError, match="got k = .2, 3."):
        principal_plane([two_hills(2), two_hills(3)])


def test_a_neighbour_map_is_seeded_and_never_wider_than_its_points(monkeypatch):
    class Remembered:
        def __init__(self, **settings):
            self.settings = settings

        def fit_transform(self, points):
            assert self.settings["n_neighbors"] == 9 and self.settings["random_state"] == 3
            return points[:, :2].astype(np.float32)

    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=Remembered))  # the real one compiles for seconds
    points = np.random.default_rng(0).normal(size=(10, 3))
    assert neighbour_map(points, seed=3) == pytest.approx(points[:, :2], abs=1e-6)


def test_umap_keeps_neighbours_and_nothing_else():
    """UMAP itself, once: what its warning says is true of two clouds far apart with spreads of 4 : 1."""
    random = np.random.default_rng(0)
    wide, narrow = 4 * random.normal(size=(60, 3)), random.normal(size=(60, 3)) + [40.0, 0, 0]
    points, cloud = np.concatenate([wide, narrow]), np.repeat([0, 1], 60)
    flat = neighbour_map(points, seed=1)
    assert flat.shape == (120, 2) and np.isfinite(flat).all()
    assert np.array_equal(flat, neighbour_map(points, seed=1))
    away = np.linalg.norm(flat[:, None] - flat, axis=-1) + 1e9 * np.eye(120)
    assert (cloud[away.argmin(1)] == cloud).mean() > 0.98
    spread = [flat[cloud == c].std(0).mean() for c in (0, 1)]
    assert spread[0] / spread[1] < 2 and "very different" in UMAP_WARNING
