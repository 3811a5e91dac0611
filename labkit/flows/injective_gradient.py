"""Training rectangular flows: a matrix-free gradient for log det JᵀJ, the objective, and how many dimensions matter.

½ log det JᵀJ costs k products with J for each point. Its *gradient* needs fewer. With A = JᵀJ, for a probe ε with
E εεᵀ = I and v = A⁻¹ε by conjugate gradients,

    ∂ ½ log det A = ½ tr(A⁻¹ ∂A) = E ½ vᵀ (∂A) ε = ∂ E ½ vᵀ A ε   with v held fixed

(Caterini, Loaiza-Ganem, Pleiss & Cunningham 2021, arXiv 2106.01413, eqs. 8-10). And vᵀAε = (Jv)ᵀ(Jε) takes two
products with J and never forms it. See `log_det_surrogate` for what must not be read off it.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from labkit.flows.injective import InjectiveFlow, InjectiveMap

LOG_2PI = math.log(2 * math.pi)
TOLERANCE = 1e-3  # of conjugate gradients: the residual's length relative to that of the right-hand side


def log_det_surrogate(
    embed: InjectiveMap,
    z: Float[Tensor, "*points k"],
    context: Float[Tensor, "*contexts c"] | None = None,
    *,
    probes: int = 1,
    tolerance: float = TOLERANCE,
    generator: Generator | None = None,
) -> Float[Tensor, "*batch"]:
    """A number whose **gradient** estimates that of ½ log det JᵀJ without bias. **Its value means nothing.**

    The value is ½ vᵀAε with v = A⁻¹ε, which is ½ ‖ε‖² = k/2 whatever the map: it is the same for a map that
    shrinks everything to a point and for one that blows it up. Never log it, compare it, or add it to a density;
    for that there is `InjectiveMap.log_volume`.

    Probes are random signs: they too have E εεᵀ = I, and of all such probes the least variance; for k = 1 the
    gradient is exact. The estimate is unbiased as far as v is A⁻¹ε: a loose tolerance biases it.

    Arguments:
        probes: K, averaged over. Cost: 2 K products with J, and two for each iteration of conjugate gradients.
        tolerance: of `solve_gram`.

    Raises:
        ValueError: for no probes or a tolerance outside (0, 1].

    Example:
        >>> from labkit.flows import Coupling, ElementwiseAffine
        >>> f = InjectiveMap(2, Coupling(ElementwiseAffine(), 3))
        >>> log_det_surrogate(f, torch.zeros(2))  # k/2, and no log-determinant
        tensor(1., ...)
    """
    if probes < 1:
        raise ValueError(f"expected at least one probe; got probes={probes}")
    batch = z.shape[:-1] if context is None else torch.broadcast_shapes(z.shape[:-1], context.shape[:-1])
    z = z.expand(*batch, -1).contiguous()  # a system of its own for each, also where z was shared

    def f(point):
        return embed(point, context)

    signs = torch.randint(0, 2, (probes, *z.shape), generator=generator, device=z.device)
    probe = (2 * signs - 1).to(z.dtype)
    solved = solve_gram(f, z, probe, tolerance)
    push = torch.func.vmap(lambda v: torch.func.jvp(f, (z,), (v,))[1])
    return 0.5 * (push(solved) * push(probe)).sum(-1).mean(0)


@torch.no_grad()
def solve_gram(
    f: Callable[[Tensor], Tensor],
    z: Float[Tensor, "*batch k"],
    right: Float[Tensor, "n *batch k"],
    tolerance: float = TOLERANCE,
) -> Float[Tensor, "n *batch k"]:
    """v with (JᵀJ) v = right, J = ∂f/∂z at each point, by conjugate gradients; without gradients.

    At least one iteration and at most k, after which exact arithmetic would be done; rounding may leave a badly
    conditioned JᵀJ short of the tolerance. A system stops changing once its residual is no longer than `tolerance`
    times its right-hand side, so that what is solved for one point does not depend on the others in the batch. The
    loop ends when all have stopped: one look from the host for every iteration, which on a GPU waits for the device.

    Raises:
        ValueError: for a tolerance outside (0, 1].
    """
    if not 0 < tolerance <= 1:
        raise ValueError(f"expected 0 < tolerance <= 1, a share of the right-hand side; got {tolerance}")
    _, pull = torch.func.vjp(f, z.detach())
    gram = torch.func.vmap(lambda v: pull(torch.func.jvp(f, (z.detach(),), (v,))[1])[0])
    v, residual, direction = torch.zeros_like(right), right, right
    squared = residual.square().sum(-1, keepdim=True)
    enough = tolerance**2 * squared
    running = squared > 0
    for _ in range(z.shape[-1]):
        product = gram(direction)
        step = torch.where(running, squared / (direction * product).sum(-1, keepdim=True), 0.0)
        v, residual = v + step * direction, residual - step * product
        after = residual.square().sum(-1, keepdim=True)
        direction = residual + torch.where(running, after / squared, 0.0) * direction
        squared, running = after, running & (after > enough)
        if not running.any():
            break
    return v


class RectangularLoss(NamedTuple):
    """What `rectangular_loss` gives: one number to minimise, two to look at. All are means over the batch.

    Attributes:
        loss: to call `backward` on. With probes its value means nothing.
        nll: −log p(x) on the surface, exact, in nats, without gradients; None where it was not asked for.
        error: ‖x − f(f†(x))‖², without gradients.
    """

    loss: Tensor
    nll: Tensor | None
    error: Tensor


def rectangular_loss(
    flow: InjectiveFlow,
    x: Float[Tensor, "*points D"],
    context: Float[Tensor, "*contexts c"] | None = None,
    *,
    reconstruction_weight: float = 50.0,
    probes: int = 0,
    tolerance: float = TOLERANCE,
    generator: Generator | None = None,
    report: bool = True,
) -> RectangularLoss:
    """−log p_low(z) + ½ log det JᵀJ + β ‖x − f(f†(x))‖² at z = f†(x), averaged over the points.

    Likelihood alone would shrink the surface to where its density is high and leave the data behind: β holds it to
    the data. The second term is exact, or, with probes, replaced by `log_det_surrogate`: the gradient is right on
    average, the value of `loss` is not a likelihood any more, and `nll` is computed exactly beside it.

    Arguments:
        reconstruction_weight: β, nats per squared unit of x: 1 / (2 s²) for a tolerated distance s.
        probes: K; 0 for the exact term.
        report: with probes, whether to pay for the exact `nll`; every hundredth step is enough for a curve.

    Raises:
        ValueError: for a β that is not positive, points or contexts of a wrong width, points that are not finite.

    Example:
        >>> from labkit.flows import Coupling, ElementwiseAffine, neural_spline_flow
        >>> flow = InjectiveFlow(neural_spline_flow(1), Coupling(ElementwiseAffine(), 2))
        >>> rectangular_loss(flow, torch.zeros(8, 2)).nll  # ½ log 2π nats
        tensor(0.9189)
    """
    if not reconstruction_weight > 0:
        raise ValueError(f"expected reconstruction_weight > 0; got {reconstruction_weight}")
    p = flow(context)
    z = p.coordinates(x)
    low = p.low.log_prob(z)
    error = (x - flow.embed(z, context)).square().sum(-1)
    if probes:
        options = dict(probes=probes, tolerance=tolerance, generator=generator)
        volume = log_det_surrogate(flow.embed, z, context, **options)
        with torch.no_grad():
            nll = -p.log_prob_at(z).mean() if report else None
    else:
        volume = flow.embed.log_volume(z, context)
        nll = (volume - low).detach().mean()
    loss = (volume - low + reconstruction_weight * error).mean()
    return RectangularLoss(loss, nll, error.detach().mean())


class RelevantDimensions(nn.Module):
    """How many of K candidate coordinates does a surface need? Automatic relevance determination (ARD).

        x = f(a ⊙ z) + σ ε,     z ~ N(0, I_K),  ε ~ N(0, I_D)

    a (K,) and the noise floor σ are learned together with f. The posterior of z is that of K Gaussian channels with
    signal a_i and noise σ, read off the left inverse y = f†(x):

        q(z_i∣x) = N(a_i y_i / (a_i² + σ²), σ² / (a_i² + σ²))

    so that E_q log p(x∣z) − KL(q ‖ N(0, I)) bounds log p(x) from below. A coordinate pays ½ log(1 + a_i²/σ²) nats
    for what it tells, however it is bent: one that only repeats a bend of others costs the same and tells
    nothing, and f learns to do without. Because q takes lengths along the surface for lengths in R^D, a map that
    hides a scale inside f pays for it. On top comes the ARD prior, a column of f for each a_i drawn from
    N(0, α_i⁻¹ I_D) with α_i at its optimum: (D/2) log(1 + a_i²/σ²) nats once for the whole data, which pushes idle
    coordinates to a_i = 0 (MacKay 1994; Bishop 1999, Bayesian PCA; here floored at the noise).

    Arguments:
        embed: f, with K = `embed.features_in` candidates. Start its basis at the data's principal directions
            (`Pad.start_at`), and a at the standard deviations along them.
        scale, noise: a and σ at the start, in units of x.

    Raises:
        ValueError: for scales or noise that are not positive, or as many as not K.

    Example:
        >>> from labkit.flows import Coupling, ElementwiseAffine
        >>> f = InjectiveMap(2, Coupling(ElementwiseAffine(), 4))
        >>> RelevantDimensions(f, scale=torch.tensor([1.0, 0.05]), noise=0.1).count()
        tensor(1)
    """

    def __init__(self, embed: InjectiveMap, scale: Float[Tensor, " K"], noise: float = 0.3):
        super().__init__()
        if scale.shape != (embed.features_in,) or not (scale > 0).all() or not noise > 0:
            raise ValueError(
                f"expected {embed.features_in} positive scales, one for each candidate, and noise > 0; "
                f"got {scale.tolist()} and {noise}"
            )
        self.embed = embed
        self.scale = nn.Parameter(scale.clone())
        self.log_noise = nn.Parameter(scale.new_tensor(noise).log())

    def relevance(self) -> Float[Tensor, " K"]:
        """½ log(1 + a_i²/σ²): what each coordinate tells of x, in nats (Shannon's channel capacity)."""
        return 0.5 * torch.log1p((self.scale / self.log_noise.exp()).square())

    def count(self) -> Tensor:
        """k̂: how many coordinates stand above the noise, a_i > σ, which is relevance above ½ log 2 nats."""
        return (self.scale.abs() > self.log_noise.exp()).sum()

    def bound(self, x: Float[Tensor, "*batch D"], generator: Generator | None = None) -> Float[Tensor, "*batch"]:
        """A lower bound on log p(x), nats: one draw from q for each point."""
        noise, signal = self.log_noise.exp(), self.scale
        share = signal / (signal.square() + noise.square())
        mean, deviation = share * self.embed.left_inverse(x), noise * (signal.square() + noise.square()).rsqrt()
        z = mean + deviation * torch.randn(mean.shape, generator=generator, dtype=x.dtype, device=x.device)
        error = ((x - self.embed(signal * z)) / noise).square().sum(-1)
        log_likelihood = -0.5 * error - x.shape[-1] * (self.log_noise + 0.5 * LOG_2PI)
        divergence = (0.5 * (mean.square() + deviation.square() - 1) - deviation.log()).sum(-1)
        return log_likelihood - divergence

    def loss(self, x: Float[Tensor, "batch D"], points: int, generator: Generator | None = None) -> Tensor:
        """−bound + (D/N) Σ relevance, nats a point, for a batch x of N = `points` in all."""
        shrinkage = x.shape[-1] / points * self.relevance().sum()
        return shrinkage - self.bound(x, generator).mean()
