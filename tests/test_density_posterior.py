"""Posteriors against the conjugate formulas of a Gaussian prior and a Gaussian likelihood."""

import math

import pytest
import torch
from torch.distributions import MultivariateNormal

from labkit.density import GridPosterior, ImportancePosterior, entropy, find_modes, posterior


class Conjugate:
    """z ~ N(m, S), x | z ~ N(z, s² I): the posterior and the evidence of x are Gaussian."""

    def __init__(self, k, s, x, dtype=torch.float64):
        a = 0.3 * torch.randn(k, k, generator=torch.Generator().manual_seed(0), dtype=dtype)
        cov = a @ a.T + torch.eye(k, dtype=dtype)
        self.prior = MultivariateNormal(torch.full((k,), 0.5, dtype=dtype), cov)
        self.noise, self.x = s**2 * torch.eye(k, dtype=dtype), torch.full((k,), x, dtype=dtype)
        gain = cov @ torch.linalg.inv(cov + self.noise)
        mean = self.prior.mean + gain @ (self.x - self.prior.mean)
        covariance = cov - gain @ cov
        self.posterior = MultivariateNormal(mean, (covariance + covariance.T) / 2)
        self.log_evidence = MultivariateNormal(self.prior.mean, cov + self.noise).log_prob(self.x).item()

    def log_likelihood(self, z):
        return MultivariateNormal(self.x, self.noise).log_prob(z)


CASES = {
    "k=1": (1, 1.0, 1.0),
    "k=1, sharp": (1, 0.01, 1.0),
    "k=2": (2, 0.7, 1.0),
    "k=2, sharp": (2, 0.02, 1.5),
    "k=2, far in the prior's tail": (2, 0.3, 8.0),
    "k=2, uninformative": (2, 50.0, 0.0),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_grid_posterior_is_the_conjugate_one(case, dtype):
    model = Conjugate(*case, dtype=dtype)
    found, exact = GridPosterior(model.prior, model.log_likelihood), model.posterior
    spread = exact.variance.sqrt()
    assert ((found.mean - exact.mean).abs() < 0.01 * spread).all()
    torch.testing.assert_close(found.variance, exact.variance, rtol=0.01, atol=0)
    assert found.log_evidence.value == pytest.approx(model.log_evidence, abs=5e-3)
    assert found.log_evidence.standard_error == 0
    z = exact.sample((200,))
    torch.testing.assert_close(found.log_prob(z), exact.log_prob(z), atol=0.03, rtol=0)
    assert found.log_prob(z.reshape(10, 20, -1)).shape == (10, 20)
    draws = found.sample((20_000,), generator=torch.Generator().manual_seed(0))
    assert draws.shape == (20_000, case[0]) and draws.dtype == dtype
    assert ((draws.mean(0) - exact.mean).abs() < 5 * spread / math.sqrt(20_000)).all()
    torch.testing.assert_close(draws.var(0), exact.variance, rtol=0.06, atol=0)


def test_a_grid_posterior_is_exact_outside_of_its_grid():
    model = Conjugate(2, 0.3, 2.0)
    found = GridPosterior(model.prior, model.log_likelihood)
    far = torch.tensor([[0.0, 0.0], [-3.0, 5.0]], dtype=torch.float64)
    assert not found.grid.contains(far).any()
    torch.testing.assert_close(found.log_prob(far), model.posterior.log_prob(far), atol=1e-3, rtol=1e-3)


def test_a_posterior_is_a_density_like_any_other():
    model = Conjugate(2, 0.5, 1.0, dtype=torch.float32)
    found = posterior(model.prior, model.log_likelihood)
    assert entropy(found).value == pytest.approx(model.posterior.entropy().item(), abs=0.01)
    (mode,) = find_modes(found)
    torch.testing.assert_close(mode.location, model.posterior.mean, atol=0.02, rtol=0)


def test_a_likelihood_with_two_regions_gives_two_modes():
    prior = MultivariateNormal(torch.zeros(2), torch.eye(2))
    found = posterior(prior, lambda z: -8 * (z[:, 0].abs() - 1.5).square())
    assert len(find_modes(found)) == 2 and found.mean.norm() < 1e-3


@pytest.mark.parametrize("k", [1, 3, 6])
@pytest.mark.parametrize("proposal", ["prior", "posterior", "wide"])
def test_an_importance_posterior_is_the_conjugate_one(k, proposal):
    model = Conjugate(k, 1.0, 1.0)
    exact, n = model.posterior, 20_000
    wide = MultivariateNormal(exact.mean + 0.2, 1.5 * exact.covariance_matrix)
    q = {"prior": None, "posterior": exact, "wide": wide}[proposal]
    found = ImportancePosterior(model.prior, model.log_likelihood, q, n_samples=n)
    ess, error = found.effective_sample_size, found.log_evidence.standard_error
    assert ((found.mean - exact.mean).abs() < 5 * exact.variance.sqrt() / math.sqrt(ess)).all()
    torch.testing.assert_close(found.variance, exact.variance, rtol=8 / math.sqrt(ess), atol=0)
    assert abs(found.log_evidence.value - model.log_evidence) < 4 * error + 1e-9
    z = exact.sample((50,))
    torch.testing.assert_close(found.log_prob(z), exact.log_prob(z), atol=4 * error + 1e-9, rtol=0)
    draws = found.sample((5000,), generator=torch.Generator().manual_seed(0))
    bound = 5 * exact.variance.sqrt() * math.sqrt(1 / 5000 + 1 / ess)
    assert ((draws.mean(0) - exact.mean).abs() < bound).all()


def test_the_effective_sample_size_is_n_over_one_plus_var_w():
    model = Conjugate(3, 0.7, 1.5)
    found = ImportancePosterior(model.prior, model.log_likelihood, n_samples=5000)
    weight = model.log_likelihood(found.points).exp()
    weight = weight / weight.mean()
    assert found.effective_sample_size == pytest.approx(5000 / (1 + weight.var(unbiased=False).item()))
    same = ImportancePosterior(model.prior, model.log_likelihood, model.posterior, n_samples=5000)
    assert same.effective_sample_size == pytest.approx(5000)  # the posterior itself: all weights are equal


def test_the_grid_and_importance_sampling_agree():
    model = Conjugate(2, 0.7, 1.0)
    on_grid = GridPosterior(model.prior, model.log_likelihood).log_evidence.value
    sampled = ImportancePosterior(model.prior, model.log_likelihood, n_samples=50_000).log_evidence
    assert abs(on_grid - sampled.value) < 4 * sampled.standard_error


def test_the_method_follows_the_dimension():
    for k, kind in {1: GridPosterior, 2: GridPosterior, 3: ImportancePosterior}.items():
        model = Conjugate(k, 1.0, 1.0)
        assert type(posterior(model.prior, model.log_likelihood)) is kind


def test_errors_say_what_was_expected():
    prior = MultivariateNormal(torch.zeros(3), torch.eye(3))
    with pytest.raises(ValueError, match="k <= 2; got k = 3. Use ImportancePosterior"):
        GridPosterior(prior, lambda z: z.sum(-1))
    with pytest.raises(ValueError, match="prior's k = 3 coordinates; got k = 1"):
        ImportancePosterior(prior, lambda z: z.sum(-1), MultivariateNormal(torch.zeros(1), torch.eye(1)))


@pytest.mark.parametrize("impossible", [-torch.inf, torch.nan])
def test_a_likelihood_that_is_nowhere_positive_is_an_error(impossible):
    def log_likelihood(z):
        return torch.full((len(z),), impossible)

    with pytest.raises(ValueError, match="no sample of the proposal"):
        ImportancePosterior(MultivariateNormal(torch.zeros(3), torch.eye(3)), log_likelihood)
    with pytest.raises(ValueError, match="log-evidence on the grid"):
        GridPosterior(MultivariateNormal(torch.zeros(2), torch.eye(2)), log_likelihood)
