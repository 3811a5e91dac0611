"""Entropy, highest-density regions, overlap and divergence against closed forms; the grid they stand on."""

import math

import pytest
import torch
from torch.distributions import (
    Categorical,
    Independent,
    Laplace,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    StudentT,
    Uniform,
)

from labkit.density import (
    Grid,
    bhattacharyya,
    draw,
    entropy,
    hdr_contains,
    hdr_levels,
    kl_divergence,
    overlap,
)
from labkit.density.grid import log_prob_on


def unit_normal(k, shift=0.0, dtype=torch.float32):
    mean = torch.zeros(k, dtype=dtype)
    mean[0] = shift
    return MultivariateNormal(mean, torch.eye(k, dtype=dtype))


def gaussian(k, seed=0, dtype=torch.float32):
    a = torch.randn(k, k, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    return MultivariateNormal(torch.ones(k, dtype=dtype), a @ a.T + 0.1 * torch.eye(k, dtype=dtype))


GAUSSIANS = {
    "k=1": gaussian(1),
    "k=2": gaussian(2),
    "k=2, float64": gaussian(2, dtype=torch.float64),
    "k=3": gaussian(3),
    "k=8": gaussian(8),
}


@pytest.mark.parametrize("density", GAUSSIANS.values(), ids=GAUSSIANS)
def test_entropy_of_a_gaussian(density):
    found, exact = entropy(density), density.entropy().item()
    if density.event_shape[0] <= 2:
        assert found.standard_error == 0 and found.value == pytest.approx(exact, abs=2e-3)
    else:
        assert 0 < found.standard_error < 0.02
        assert abs(found.value - exact) < 4 * found.standard_error


OTHERS = {
    "uniform": Independent(Uniform(torch.zeros(2), torch.tensor([1.0, 3.0])), 1),
    "Laplace": Independent(Laplace(torch.zeros(2), torch.ones(2)), 1),
    "heavy tails": Independent(StudentT(torch.full((2,), 2.0)), 1),
}


@pytest.mark.parametrize("density", OTHERS.values(), ids=OTHERS)
def test_entropy_of_other_densities(density):
    found = entropy(density)
    assert abs(found.value - density.entropy().item()) < 4 * found.standard_error + 0.005


def test_entropy_of_two_spikes_thinner_than_a_cell():
    parts = Independent(Normal(torch.tensor([[-50.0], [50.0]]).expand(2, 2), torch.full((2, 2), 1e-3)), 1)
    found = entropy(MixtureSameFamily(Categorical(torch.ones(2)), parts))
    exact = 1 + math.log(2 * math.pi) + 2 * math.log(1e-3) + math.log(2)
    assert abs(found.value - exact) < 4 * found.standard_error


@pytest.mark.parametrize("density", GAUSSIANS.values(), ids=GAUSSIANS)
def test_highest_density_regions_hold_their_share(density):
    probs, n = (0.5, 0.8, 0.95, 0.99), 20_000
    fresh = draw(density, n, torch.Generator().manual_seed(1))
    levels = hdr_levels(density, probs)
    assert (levels.diff() < 0).all()
    for prob, level in zip(probs, levels):
        error = math.sqrt(2 * prob * (1 - prob) / n)  # of the level, and of the share it is checked with
        inside = hdr_contains(density, fresh, prob)
        assert abs(inside.double().mean().item() - prob) < 4 * error
        assert torch.equal(inside, density.log_prob(fresh) >= level)


@pytest.mark.parametrize("k", [1, 2, 5])
def test_levels_of_a_normal_are_those_of_chi_squared(k):
    from scipy.stats import chi2

    exact = -0.5 * torch.tensor(chi2(k).ppf([0.5, 0.8])) - k / 2 * math.log(2 * math.pi)
    torch.testing.assert_close(hdr_levels(unit_normal(k), (0.5, 0.8)).double(), exact, atol=0.06, rtol=0)


@pytest.mark.parametrize("prob", [0.0, 1.0, 95])
def test_a_share_outside_0_1_is_an_error(prob):
    with pytest.raises(ValueError, match="strictly between 0 and 1; got"):
        hdr_levels(unit_normal(2), (prob,))


@pytest.mark.parametrize("distance", [0.0, 0.5, 1.0, 2.0, 4.0, 8.0])
@pytest.mark.parametrize("k", [1, 2, 6])
def test_overlap_of_two_unit_gaussians(k, distance):
    p, q = unit_normal(k), unit_normal(k, distance)
    for measure, exact in [
        (overlap, math.erfc(distance / 2 / math.sqrt(2))),  # 2 Φ(-d/2)
        (bhattacharyya, math.exp(-(distance**2) / 8)),
        (kl_divergence, distance**2 / 2),
    ]:
        found = measure(p, q, generator=torch.Generator().manual_seed(k))
        # far apart almost no sample sees both, and the error itself is uncertain
        assert abs(found.value - exact) <= 3 * found.standard_error + 1e-5 + (1e-4 if distance == 8 else 0)
        assert found.standard_error < 0.1


def test_standard_errors_are_those_of_repetition():
    p, q = unit_normal(2), unit_normal(2, 1.5)
    for measure in (overlap, bhattacharyya, kl_divergence):
        runs = [measure(p, q, 500, torch.Generator().manual_seed(i)) for i in range(200)]
        spread = torch.tensor([run.value for run in runs]).std().item()
        assert spread == pytest.approx(runs[0].standard_error, rel=0.25)


def test_densities_without_common_support():
    p = Independent(Uniform(torch.zeros(1), torch.ones(1)), 1)
    q = Independent(Uniform(torch.full((1,), 2.0), torch.full((1,), 3.0)), 1)
    assert overlap(p, q).value == bhattacharyya(p, q).value == 0
    assert kl_divergence(p, q).value == math.inf


def test_densities_over_different_spaces_are_an_error():
    with pytest.raises(ValueError, match="got k = 2 and k = 3"):
        overlap(unit_normal(2), unit_normal(3))


@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_grid_integrates_indexes_and_interpolates(k, dtype):
    density = gaussian(k, dtype=dtype)
    grid = Grid.covering(draw(density, 2000))
    log_prob = log_prob_on(density, grid.points)
    assert grid.integrate(log_prob.exp()).item() == pytest.approx(1, abs=2e-3)
    assert grid.log_mass(log_prob).exp().sum().item() == pytest.approx(1, abs=2e-3)
    assert grid.points.dtype == dtype
    assert torch.equal(grid.index(grid.points), torch.arange(len(grid.points)))
    slope = torch.arange(1, k + 1, dtype=dtype)
    inner = draw(density, 100).clamp(grid.lower + grid.step, grid.upper - grid.step)
    found = grid.interpolate(grid.points @ slope, inner)
    torch.testing.assert_close(found, inner @ slope, rtol=1e-3, atol=1e-3)
    assert grid.contains(inner).all() and not grid.contains(grid.upper[None] + 1).any()


def test_a_grid_with_bounds_the_wrong_way_round_is_an_error():
    with pytest.raises(ValueError, match="lower < upper"):
        Grid(torch.ones(2), torch.zeros(2), (5, 5))
    with pytest.raises(ValueError, match="k = 1 or 2"):
        Grid(torch.zeros(3), torch.ones(3), (5, 5, 5))


class TakesGenerator(Independent):
    """As the flows' distributions do."""

    def sample(self, sample_shape=(), *, generator=None):
        return torch.randn(*sample_shape, 2, generator=generator)


@pytest.mark.parametrize("kind", [Independent, TakesGenerator])
def test_draws_repeat_and_leave_the_global_generator_alone(kind):
    density, state = kind(Normal(torch.zeros(2), torch.ones(2)), 1), torch.get_rng_state()
    one, two = (draw(density, 5, torch.Generator().manual_seed(3)) for _ in range(2))
    generator = torch.Generator().manual_seed(3)
    first, second = draw(density, 5, generator), draw(density, 5, generator)
    assert torch.equal(one, two) and torch.equal(one, first) and not torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), state)
