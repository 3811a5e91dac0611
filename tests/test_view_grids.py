import numpy as np
import pytest
import torch
from torch.distributions import Independent, MultivariateNormal, Normal, Uniform

from labkit.view import density_grid, density_line, picture_of, project, shared_limits
from labkit.view.grids import equal_scale, flow_lattice
from tests.test_view_fakes import PLACES, FakeDensity, FakeModel, FakePoint

DENSITIES = {
    "two modes": lambda dtype: FakeModel("StochasticEmbedding")["bank"],
    "three modes": lambda dtype: FakeModel("StochasticEmbedding")["spring"],
    "correlated normal": lambda dtype: MultivariateNormal(
        torch.zeros(2, dtype=dtype), torch.tensor([[1.0, 0.9], [0.9, 1.0]], dtype=dtype)
    ),
    "uniform, -inf outside": lambda dtype: Independent(Uniform(torch.zeros(2, dtype=dtype), 1.0), 1),
    "far from 0": lambda dtype: Independent(Normal(torch.full((2,), 1e3, dtype=dtype), 0.1), 1),
}


@pytest.fixture(params=DENSITIES)
def density(request):
    return DENSITIES[request.param](torch.float64)


def inside(grid, points):
    """Which points lie where the grid's log p is above each level, looked up at the nearest node."""
    step = grid.x[1] - grid.x[0], grid.y[1] - grid.y[0]
    column = np.clip(np.rint((points[:, 0] - grid.x[0]) / step[0]).astype(int), 0, len(grid.x) - 1)
    row = np.clip(np.rint((points[:, 1] - grid.y[0]) / step[1]).astype(int), 0, len(grid.y) - 1)
    return grid.log_prob[row, column][:, None] >= grid.levels


def test_rows_are_y_and_columns_are_x():
    bank = FakeModel("StochasticEmbedding")["bank"]
    grid = density_grid(bank, resolution=31)
    at = torch.tensor([[grid.x[7], grid.y[20]]], dtype=torch.float32)
    assert grid.log_prob.shape == (31, 31)
    assert grid.log_prob[20, 7] == pytest.approx(bank.log_prob(at).item(), abs=1e-4)


def test_a_picture_holds_the_whole_mass(density):
    grid = density_grid(density)
    assert grid.mass_check == pytest.approx(1, abs=0.02)  # the uniform's walls lie between nodes
    assert sum(mode.mass for mode in grid.modes) == pytest.approx(1, abs=0.06)
    assert np.isfinite(grid.entropy) and not grid.is_marginal


@pytest.mark.parametrize("name", ["two modes", "three modes", "correlated normal"])
def test_regions_hold_what_they_say(name):
    grid = density_grid(DENSITIES[name](torch.float64), n_samples=4000, resolution=201)
    assert np.abs(inside(grid, grid.samples).mean(0) - grid.probs).max() < 0.03


def test_the_same_seed_gives_the_same_picture(seed):
    bank = FakeModel("StochasticEmbedding")["bank"]
    one, two = (density_grid(bank, resolution=9, n_samples=50, seed=seed) for _ in range(2))
    other = density_grid(bank, resolution=9, n_samples=50, seed=seed + 1)
    assert np.array_equal(one.samples, two.samples) and not np.array_equal(one.samples, other.samples)
    assert len(one.samples) == len(one.sample_modes) == 50


def test_torchs_random_state_is_left_alone():
    before = torch.get_rng_state()
    density_grid(FakeModel("StochasticEmbedding")["bank"], resolution=5)
    assert torch.equal(before, torch.get_rng_state())


def test_labels_carry_mass_words_and_sentences():
    grid = density_grid(FakeModel("StochasticEmbedding")["bank"], resolution=41)
    assert [mode.words[0] for mode in grid.modes] == ["money", "river"]
    assert grid.modes[0].mass == pytest.approx(0.6, abs=0.02)
    assert "bank" in grid.modes[0].sentences[0] and grid.word == "bank"
    left = grid.samples[:, 0] < -1
    assert (grid.sample_modes[left] == 1).mean() > 0.95


def test_a_sentence_is_told_by_the_words_own_modes():
    bank = FakeModel("StochasticEmbedding")["bank"]
    read = bank.given("the grassy bank of the river")
    grid = density_grid(read, resolution=41, modes=bank.modes(), recount=True)
    assert [mode.words[0] for mode in grid.modes] == ["money", "river"]
    assert grid.modes[1].mass > 0.9 and sum(mode.mass for mode in grid.modes) == pytest.approx(1)


def test_no_samples_no_marks():
    grid = density_grid(FakeModel("StochasticEmbedding")["bank"], resolution=5, n_samples=0)
    assert grid.samples.shape == (0, 2) and len(grid.sample_modes) == 0


def test_a_line():
    line = density_line(FakeDensity("bank", [[-1.5], [1.3]], [[0.5], [0.4]], [0.45, 0.55]))
    assert line.mass_check == pytest.approx(1, abs=1e-3) and len(line.modes) == 2
    share = (np.interp(line.samples[:, 0], line.z, line.log_prob)[:, None] >= line.levels).mean(0)
    assert np.abs(share - line.probs).max() < 0.06


class TestProjection:
    model = FakeModel("StochasticEmbedding", extra=2)

    def test_the_plane_is_that_of_the_pooled_samples(self):
        plane = project([self.model[word] for word in PLACES])
        assert np.allclose(plane.components.T @ plane.components, np.eye(2))
        assert np.abs(plane.components[2:]).max() < 0.1  # the first two coordinates vary most
        assert 0.8 < plane.variance_explained.sum() < 1 and plane.is_marginal

    def test_an_outline_is_a_marginal_and_says_so(self):
        bank = self.model["bank"]
        plane = project([bank])
        grid = density_grid(bank, basis=plane)
        fresh = plane(bank.sample((5000,)).double().numpy())
        assert grid.is_marginal and grid.variance_explained == pytest.approx(plane.variance_explained.sum())
        assert grid.mass_check == pytest.approx(1, abs=0.01)
        assert np.abs(inside(grid, fresh).mean(0) - grid.probs).max() < 0.03
        assert {mode.location.shape for mode in grid.modes} == {(2,)}

    def test_errors_say_what_to_do(self):
        with pytest.raises(ValueError, match=r"k = 4 .* pass basis=project"):
            density_grid(self.model["bank"])
        with pytest.raises(ValueError, match=r"k > 2 coordinates; got k = \[2\]"):
            project([FakeModel("StochasticEmbedding")["bank"]])
        with pytest.raises(ValueError, match=r"got k = \[2, 4\]"):
            project([self.model["bank"], FakeModel("StochasticEmbedding")["bank"]])
        with pytest.raises(ValueError, match=r"shape \(N, 4\); got \(3, 2\)"):
            project([self.model["bank"]])(np.zeros((3, 2)))


def test_pictures_fit_what_they_are_of():
    point = picture_of(FakePoint("bank", torch.tensor([1.0, 2.0])))
    grid = picture_of(FakeModel("StochasticEmbedding")["bank"], resolution=5)
    assert point.location.tolist() == [1, 2] and picture_of(grid) is grid
    with pytest.raises(ValueError, match="draws k = 1 coordinate and got 2: use density_grid"):
        density_line(FakeModel("StochasticEmbedding")["bank"])


def test_shared_limits_hold_everything():
    models = [FakeModel(name) for name in ("StochasticEmbedding", "GaussianEmbedding", "PointEmbedding")]
    grids = [density_grid(model["bank"], resolution=5) for model in models[:2]]
    (left, right), (bottom, top) = shared_limits([*grids, FakePoint("bank", torch.tensor([9.0, 0.0]))])
    for grid in grids:
        assert left <= grid.limits[0][0] and bottom <= grid.limits[1][0] and top >= grid.limits[1][1]
    assert right > 9
    assert shared_limits([models[0]["bank"]]) == pytest.approx(np.array(grids[0].limits))
    with pytest.raises(ValueError, match="at least one"):
        shared_limits([])


@pytest.mark.parametrize("aspect", [0.5, 1.0, 1.7])
def test_equal_scale_only_widens(aspect):
    (left, right), (bottom, top) = equal_scale(((0.0, 3.0), (-1.0, 1.0)), aspect)
    assert (right - left) / (top - bottom) == pytest.approx(aspect)
    assert left <= 0 and right >= 3 and bottom <= -1 and top >= 1


def test_a_lattice_has_upright_lines_first():
    lattice = flow_lattice(reach=2, lines=5, nodes=9)
    assert np.ptp(lattice[0, :, 0]) == 0 and np.ptp(lattice[-1, :, 1]) == 0 and np.ptp(lattice[0, :, 1]) == 4
