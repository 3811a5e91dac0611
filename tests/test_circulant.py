"""The circulant-diagonal layer: exact against its dense matrix, and against a density of known entropy."""

import math

import pytest
import torch

from labkit.flows.base import StandardNormal
from labkit.flows.circulant import CirculantDiagonal, circulant
from labkit.flows.flow import Flow

SIZES = [1, 2, 3, 7, 16, 96]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def perturbed(features, diagonals, size=0.5, bias=True):
    layer = CirculantDiagonal(features, diagonals, bias).double()
    with torch.no_grad():
        for weight in layer.parameters():
            weight.copy_(size * torch.randn(weight.shape, generator=generator(), dtype=torch.float64))
    return layer


@pytest.mark.parametrize("features", SIZES)
@pytest.mark.parametrize("diagonals", [1, 2, 3, 5])
def test_exact_against_the_dense_matrix(features, diagonals):
    layer = perturbed(features, diagonals)
    u = torch.randn(20, features, generator=generator(1), dtype=torch.float64)
    matrix = layer.matrix()
    z, log_det = layer.forward_and_log_det(u)
    torch.testing.assert_close(z, u @ matrix.mT + layer.bias, atol=1e-10, rtol=1e-12)
    sign, expected = torch.linalg.slogdet(matrix)
    assert sign == 1
    torch.testing.assert_close(log_det, expected.expand(20), atol=1e-10, rtol=0)
    # The dense inverse loses what the matrix' condition number takes from it; then 1e-10 holds only against it.
    back, inverse_log_det = layer.inverse_and_log_det(z)
    torch.testing.assert_close(back, u, atol=1e-10, rtol=0)
    torch.testing.assert_close(inverse_log_det, -log_det)
    gentle = perturbed(features, diagonals, size=0.2, bias=False)
    inverse = gentle.solve(torch.eye(features, dtype=torch.float64)).mT
    torch.testing.assert_close(inverse, torch.linalg.inv(gentle.matrix()), atol=1e-10, rtol=0)


@pytest.mark.parametrize("features", SIZES)
def test_eigenvalues_are_those_of_a_real_circulant_matrix(features):
    layer = perturbed(features, diagonals=3)
    half = features // 2 + 1
    for k, eigenvalues in enumerate(layer.eigenvalues()):
        real = [0] + ([half - 1] if features % 2 == 0 else [])
        assert (eigenvalues.imag[real] == 0).all() and (eigenvalues.real[real] > 0).all()
        column = torch.fft.irfft(eigenvalues, n=features)
        torch.testing.assert_close(torch.fft.rfft(column), eigenvalues)  # nothing was dropped to make it real
        dense = circulant(column)
        waves = torch.fft.fft(torch.eye(features, dtype=torch.float64))
        spectrum = waves @ dense.to(waves.dtype) @ waves.conj().mT / features
        off = spectrum - spectrum.diagonal().diag()
        assert off.abs().max() < 1e-12, f"the Fourier transform does not diagonalise circulant factor {k}"
        torch.testing.assert_close(spectrum.diagonal()[:half], eigenvalues)


def test_a_circulant_matrix_is_a_circular_convolution():
    column, u = torch.randn(2, 7, generator=generator(), dtype=torch.float64)
    expected = torch.stack([sum(column[(i - j) % 7] * u[j] for j in range(7)) for i in range(7)])
    torch.testing.assert_close(circulant(column) @ u, expected)
    torch.testing.assert_close(circulant(torch.stack([column, u]))[1], circulant(u))


@pytest.mark.parametrize("features", SIZES)
@pytest.mark.parametrize("diagonals", [1, 2, 4])
def test_every_parameter_counts(features, diagonals):
    """(2m − 1) d of them, and W moves with each."""
    layer = perturbed(features, diagonals, bias=False)
    weights = list(layer.parameters())
    assert sum(weight.numel() for weight in weights) == (2 * diagonals - 1) * features
    u = torch.randn(3, features, generator=generator(1), dtype=torch.float64)
    for gradient in torch.autograd.grad(layer(u).square().sum(), weights, materialize_grads=True):
        assert (gradient != 0).all()


def test_the_log_det_takes_no_fourier_transform(monkeypatch):
    layer = CirculantDiagonal(8)

    def refuse(*_, **__):
        raise AssertionError("a Fourier transform in the log-determinant")

    monkeypatch.setattr(torch.fft, "rfft", refuse)
    monkeypatch.setattr(torch.fft, "irfft", refuse)
    assert layer.log_abs_det() == 0


def test_a_checkpoint_holds_what_was_learned_and_nothing_else():
    assert set(CirculantDiagonal(6).state_dict()) == {"bias", "log_diagonals", "spectra"}


# A stationary Gaussian on a ring of n places: its covariance is circulant, with eigenvalues S_k, the power spectrum,
# and its entropy is ½ Σ_k log(2πe S_k) nats. Every such density is a CirculantDiagonal of normal noise.
def autoregressive(n, rho):
    """S_k of x_t = ρ x_{t−1} + noise, closed to a ring."""
    frequency = 2 * math.pi * torch.arange(n // 2 + 1, dtype=torch.float64) / n
    return 1 / (1 - 2 * rho * frequency.cos() + rho**2)


def matern(n, length):
    """S_k of Matérn noise with smoothness 3/2 and some white noise."""
    frequency = 2 * math.pi * torch.arange(n // 2 + 1, dtype=torch.float64) / n
    return 4 * length * (1 + (length * frequency).square()) ** -2 + 0.05


RINGS = {
    "AR(1), 16 places": (16, autoregressive(16, 0.8)),
    "AR(1), 9 places": (9, autoregressive(9, -0.6)),
    "Matérn, 12 places": (12, matern(12, 1.5)),
}


@pytest.mark.parametrize(("n", "spectrum"), RINGS.values(), ids=RINGS.keys())
def test_a_stationary_gaussian_on_a_ring_reaches_its_entropy(n, spectrum):
    whole = torch.cat([spectrum, spectrum[1 : (n + 1) // 2].flip(0)])
    entropy = 0.5 * (2 * math.pi * math.e * whole).log().sum()
    mean = torch.linspace(-1, 2, n, dtype=torch.float64)

    def draw(count, seed):
        noise = torch.randn(count, n, generator=generator(seed), dtype=torch.float64)
        return mean + torch.fft.irfft(torch.fft.rfft(noise) * spectrum.sqrt(), n=n)

    flow = Flow(CirculantDiagonal(n), StandardNormal(n)).double()
    data = draw(10_000, seed=1)
    optimizer = torch.optim.LBFGS(flow.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def loss():
        optimizer.zero_grad()
        value = -flow().log_prob(data).mean()
        value.backward()
        return value

    before = loss().item()
    optimizer.step(loss)

    fresh = draw(100_000, seed=2)
    with torch.no_grad():
        nats = -flow().log_prob(fresh)
    error = nats.std() / len(nats) ** 0.5
    assert before > entropy + 50 * error  # there was something to learn
    # Fitting P numbers to N points costs P / 2N nats on fresh data, 0.0032 here at most; 4 standard errors
    # are a chance of 1 in 16,000 a case.
    assert -4 * error < nats.mean() - entropy < 4 * error + 0.0032
    # Without the noise of Monte Carlo: KL(truth ‖ flow) between two Gaussians, which is never below 0.
    truth = circulant(torch.fft.irfft(spectrum.to(torch.complex128), n=n))
    model = flow.transform.matrix().detach()
    whitened = torch.linalg.solve(model @ model.mT, truth)
    offset = torch.linalg.solve(model, mean - flow.transform.bias.detach())
    kl = 0.5 * (whitened.trace() - n - torch.linalg.slogdet(whitened).logabsdet + offset.square().sum())
    assert 0 <= kl < 0.0065
