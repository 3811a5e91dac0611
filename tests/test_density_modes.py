"""Modes: masses, places and drops against densities whose modes are known."""

import math

import pytest
import torch
from torch.distributions import (
    Categorical,
    Distribution,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    Uniform,
    constraints,
)

from labkit.density import find_modes


def mixture(weights, means, scales, dtype=torch.float32):
    means, scales = torch.tensor(means, dtype=dtype), torch.tensor(scales, dtype=dtype)
    parts = Independent(Normal(means, scales[:, None].expand_as(means)), 1)
    return MixtureSameFamily(Categorical(torch.tensor(weights, dtype=dtype)), parts)


class Bent(Distribution):
    """The hand-written densities: bent in the plane, normal in the other coordinates."""

    arg_constraints = {}
    support = constraints.real_vector

    def __init__(self, k):
        super().__init__(torch.Size(), torch.Size((k,)), validate_args=False)

    def log_prob(self, value):
        rest = -0.5 * value[..., 2:].square().sum(-1)
        return self.log_prob_of_plane(value[..., 0], value[..., 1]) + rest

    def sample(self, sample_shape=()):
        plane = torch.stack(self.sample_plane(sample_shape), -1)
        return torch.cat([plane, torch.randn(*sample_shape, self.event_shape[0] - 2)], -1)


class Banana(Bent):
    """x ~ N(0, 1), y ~ N(bend x², spread²), turned by an angle: one mode, however bent."""

    def __init__(self, bend, spread, angle, k=2):
        self.bend, self.spread = bend, spread
        self.cos, self.sin = math.cos(angle), math.sin(angle)
        super().__init__(k)

    def log_prob_of_plane(self, a, b):
        x, y = self.cos * a + self.sin * b, self.cos * b - self.sin * a
        return -0.5 * x**2 - 0.5 * ((y - self.bend * x**2) / self.spread) ** 2

    def sample_plane(self, shape):
        x, noise = torch.randn(2, *shape)
        y = self.bend * x**2 + self.spread * noise
        return self.cos * x - self.sin * y, self.sin * x + self.cos * y


class NotchedRing(Bent):
    """A ring of radius 3, level all around but for a notch at angle 0: one mode, its top a level ridge."""

    def __init__(self, depth, spread, k=2):
        self.depth, self.spread = depth, spread
        super().__init__(k)

    def notch(self, angle):
        return self.depth * torch.exp(-0.5 * (angle / 0.3) ** 2)

    def log_prob_of_plane(self, x, y):
        r = torch.hypot(x, y)
        return -0.5 * ((r - 3) / self.spread) ** 2 - self.notch(torch.atan2(y, x))

    def sample_plane(self, shape):
        angle = (2 * torch.rand(8, *shape) - 1) * math.pi
        kept = torch.rand(8, *shape) < torch.exp(-self.notch(angle))  # the first of eight tries that is kept
        angle = angle.gather(0, kept.long().argmax(0, keepdim=True))[0]
        r = 3 + self.spread * torch.randn(shape)
        return r * torch.cos(angle), r * torch.sin(angle)


MIXTURES = {
    "two, k=1": mixture([0.3, 0.7], [[-3.0], [2.0]], [1.0, 0.5]),
    "two, k=2": mixture([0.3, 0.7], [[-2.0, 0.0], [2.0, 1.0]], [1.0, 0.7]),
    "two, k=2, .1 and .9": mixture([0.1, 0.9], [[-3.0, 1.0], [2.0, 0.0]], [0.5, 1.0]),
    "two, k=2, narrow and far": mixture([0.25, 0.75], [[-10.0, 0.0], [10.0, 3.0]], [0.05, 0.05]),
    "two, k=2, float64": mixture([0.3, 0.7], [[-2.0, 0.0], [2.0, 1.0]], [1.0, 0.7], torch.float64),
    "three, k=1": mixture([0.1, 0.3, 0.6], [[-5.0], [0.0], [5.0]], [1.0, 1.0, 1.0]),
    "three, k=2": mixture([0.1, 0.3, 0.6], [[-4.0, 0.0], [0.0, 3.0], [4.0, 0.0]], [1.0, 1.0, 1.0]),
    "two, k=3": mixture([0.1, 0.9], [[-3.0, 0.0, 1.0], [3.0, 0.0, 0.0]], [1.0, 1.0]),
    "three, k=3": mixture(
        [0.2, 0.3, 0.5], [[-4.0, 0.0, 0.0], [0.0, 3.0, 2.0], [4.0, 0.0, 0.0]], [1.0, 0.8, 1.0]
    ),
    "two, k=6": mixture([0.4, 0.6], [[-3.0] + [0.0] * 5, [3.0] + [0.0] * 5], [1.0, 1.0]),
}


@pytest.mark.parametrize("density", MIXTURES.values(), ids=MIXTURES)
def test_masses_and_places_of_a_mixture(density):
    modes = find_modes(density)
    weights, order = density.mixture_distribution.probs.sort(descending=True)
    assert len(modes) == len(weights)
    # shares of 2000 samples above k = 2; below, what one component has in the other's basin
    torch.testing.assert_close(modes.masses.to(weights), weights, atol=0.04, rtol=0)
    places = density.component_distribution.mean[order]
    assert (modes.locations - places).norm(dim=-1).max() < 0.1
    assert modes.assign(places).tolist() == list(range(len(places)))
    assert sum(len(mode.members) for mode in modes) == 2000
    assert sum(math.isinf(mode.drop) for mode in modes) == 1  # the highest one
    assert modes.locations.dtype == weights.dtype


@pytest.mark.parametrize("name", ["two, k=2", "two, k=2, .1 and .9", "three, k=2", "two, k=3"])
def test_masses_are_the_shares_of_samples_assigned(name):
    modes, n = find_modes(MIXTURES[name]), 4000
    torch.manual_seed(1)
    shares = torch.bincount(modes.assign(MIXTURES[name].sample((n,))), minlength=len(modes)) / n
    for mass, share in zip(modes.masses.tolist(), shares.tolist()):
        # above two dimensions the masses have a sampling error of their own
        assert abs(mass - share) < 4 * math.sqrt(mass * (1 - mass) * (1 / n + 1 / 2000))


@pytest.mark.parametrize("k", [1, 2, 3])
def test_one_gaussian_is_one_mode_over_twenty_seeds(k):
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        a = torch.randn(k, k, generator=generator)
        density = MultivariateNormal(torch.randn(k, generator=generator), a @ a.T + 0.05 * torch.eye(k))
        (mode,) = find_modes(density, n_samples=500, generator=generator)
        assert mode.mass == pytest.approx(1) and mode.drop == math.inf
        distance = (density.log_prob(density.mean) - mode.log_density).item()
        assert 0 <= distance + 1e-4 < 0.01


BENT = {
    f"banana, bend {bend}, spread {spread}, angle {angle}": Banana(bend, spread, angle)
    for bend, spread in [(0.2, 0.3), (0.5, 0.1), (1.0, 0.3), (2.0, 0.3), (1.0, 0.1), (2.0, 1.0)]
    for angle in (0.0, 0.7, 2.0)
} | {
    "banana, k=3": Banana(1.0, 0.3, 0.5, k=3),
    "banana, k=5": Banana(0.5, 0.3, 0.5, k=5),
    "notched ring, shallow": NotchedRing(1.0, 0.3),
    "notched ring, deep": NotchedRing(3.0, 0.3),
    "notched ring, thin": NotchedRing(3.0, 0.1),
    "notched ring, k=3": NotchedRing(3.0, 0.3, k=3),
    "uniform": Independent(Uniform(torch.zeros(2), torch.ones(2)), 1),
    "uniform, k=3": Independent(Uniform(torch.zeros(3), torch.ones(3)), 1),
}


@pytest.mark.parametrize("density", BENT.values(), ids=BENT)
def test_a_bent_density_has_one_mode(density):
    modes = find_modes(density)
    assert len(modes) == 1 and modes.separation == 0


def drop_between(density):
    """Drop of the lower of two modes on the first axis: all of log p's extrema lie there by symmetry."""
    x = torch.zeros(200_001, density.event_shape[0], dtype=torch.float64)
    x[:, 0] = torch.linspace(-8, 8, len(x), dtype=torch.float64)
    f = density.log_prob(x)
    inner = f[1:-1]
    tops = inner[(inner > f[:-2]) & (inner >= f[2:])]
    (saddle,) = inner[(inner < f[:-2]) & (inner <= f[2:])]
    return (tops.min() - saddle).item()


@pytest.mark.parametrize("apart", [2.8, 3.0, 4.0, 6.0])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_the_drop_to_a_saddle_is_the_analytic_one(k, apart):
    means = torch.zeros(2, k)
    means[:, 0] = torch.tensor([-apart / 2, apart / 2])
    density = mixture([0.4, 0.6], means.tolist(), [1.0, 1.0], torch.float64)
    modes = find_modes(density, min_mass=0.01)
    expected = drop_between(density)
    assert expected > 0.02
    assert modes.separation == pytest.approx(expected, abs=0.01, rel=0.005)
    assert len(find_modes(density, significance=expected + 0.05)) == 1
    assert len(find_modes(density, significance=lambda d: expected + 0.05)) == 1


def test_a_saddle_on_a_bent_ridge_is_found():
    """Along the ring log p = cos 2θ + constant: the pass is 2 nats down, the straight way 12 and more."""

    class TwoOnARing(NotchedRing):
        def log_prob_of_plane(self, x, y):
            r = torch.hypot(x, y)
            return -0.5 * ((r - 3) / 0.6) ** 2 + torch.cos(2 * torch.atan2(y, x))

    for k in (2, 3):
        modes = find_modes(TwoOnARing(0.0, 0.6, k))
        assert len(modes) == 2
        assert modes.separation == pytest.approx(2.0, abs=0.03)


def test_what_is_too_light_joins_its_neighbour_and_keeps_the_mass():
    density = MIXTURES["three, k=2"]
    assert len(find_modes(density, min_mass=0.2)) == 2
    assert find_modes(density, min_mass=0.2).masses.sum() == pytest.approx(1)
    assert len(find_modes(density, min_mass=0.5)) == 1


def test_a_light_spike_does_not_move_the_mode_it_joins():
    density = mixture([0.02, 0.98], [[2.5, 0.0], [0.0, 0.0]], [0.05, 1.0])
    (mode,) = find_modes(density, significance=0.3)
    assert mode.location.norm() < 0.1


def test_asked_twice_it_answers_the_same_and_leaves_the_global_generator_alone():
    state = torch.get_rng_state()
    first, second = find_modes(MIXTURES["two, k=3"]), find_modes(MIXTURES["two, k=3"])
    assert torch.equal(first.locations, second.locations) and torch.equal(first.masses, second.masses)
    assert torch.equal(torch.get_rng_state(), state)


def test_errors_say_what_was_expected():
    with pytest.raises(ValueError, match=r"event_shape \(k,\) and batch_shape \(\); got event_shape \(\)"):
        find_modes(Normal(0.0, 1.0))
    with pytest.raises(ValueError, match=r"min_mass is a share .* got 5"):
        find_modes(MIXTURES["two, k=2"], min_mass=5)
    with pytest.raises(ValueError, match=r"shape \(N, 2\); got \(3,\)"):
        find_modes(MIXTURES["two, k=2"]).assign(torch.zeros(3))


def test_a_density_that_is_nan_somewhere_is_an_error():
    class Broken(NotchedRing):
        def log_prob_of_plane(self, x, y):
            return super().log_prob_of_plane(x, y) + (x - 1).sqrt()

    with pytest.raises(ValueError, match="log p is NaN in .* of 14641 cells"):
        find_modes(Broken(1.0, 0.3))
