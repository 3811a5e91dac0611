"""Rectangular flows: densities on a k-dimensional surface in R^D.

An injective map f: R^k -> R^D pads z with zeros and bends the flat result with an invertible transform g of R^D, and
its left inverse f† undoes g and drops what was padded:

    x = f(z) = g([z ; 0]),     f†(x) = the first k of g⁻¹(x),     f†(f(z)) = z

(Caterini, Loaiza-Ganem, Pleiss & Cunningham 2021, arXiv 2106.01413). A density p_low over z becomes one on the
surface {f(z)}, with respect to its own k-dimensional area (the Hausdorff measure):

    log p(x) = log p_low(z) − ½ log det JᵀJ,     J = ∂f/∂z, (D, k),     z = f†(x)        (eq. 4)

Off the surface there is no density: a point is first taken there, x ↦ f(f†(x)), and what is lost on the way,
‖x − f(f†(x))‖², belongs beside every log-density.

**The term does not add up over stages.** For square J, log det of a product is the sum of the parts'. For the
product of rectangular ones, det (J₂J₁)ᵀ(J₂J₁) is not det J₁ᵀJ₁ · det J₂ᵀJ₂: J₂ stretches differently in different
directions, and only along the surface that reaches it does the stretch count. So that a map of several stages has
one Jacobian, that of the whole, and its log-determinant is taken once.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn
from torch.distributions import Distribution, constraints

from labkit.flows.base import Seeded, refuse_nan
from labkit.flows.transforms import Transform
from labkit.flows.volume import half_log_det, jacobian


class Pad(nn.Module):
    """[z ; 0], or Q z with Q (D, k) of learned orthonormal columns: R^k -> R^D, an isometry.

    Q is the Gram–Schmidt basis of a free matrix W (D, k), so that Q = W where W is orthonormal already. Fresh,
    Q z = [z ; 0]; `start_at` puts other directions there, such as the principal ones of the data.

    Arguments:
        features_in, features_out: k <= D.
        basis: learn Q.

    Raises:
        ValueError: for k > D.

    Example:
        >>> Pad(1, 3)(torch.tensor([2.0]))
        tensor([2., 0., 0.])
    """

    def __init__(self, features_in: int, features_out: int, basis: bool = False):
        super().__init__()
        if not 1 <= features_in <= features_out:
            raise ValueError(f"expected 1 <= k <= D; got k={features_in} and D={features_out}")
        self.features_in, self.features_out = features_in, features_out
        self.free = nn.Parameter(torch.eye(features_out, features_in)) if basis else None

    @property
    def basis(self) -> Float[Tensor, "D k"]:
        """Q = W L⁻ᵀ with L Lᵀ = WᵀW."""
        if self.free is None:
            raise ValueError("this padding has no basis of its own; expected basis=True")
        lower, _ = torch.linalg.cholesky_ex(self.free.mT @ self.free)
        return torch.linalg.solve_triangular(lower, self.free.mT, upper=False).mT

    @torch.no_grad()
    def start_at(self, directions: Float[Tensor, "D k"]) -> None:
        """Let Q be the Gram–Schmidt basis of these columns.

        Raises:
            ValueError: where there is no basis to set, or for directions of another shape.
        """
        shape = "none, without basis=True" if self.free is None else tuple(self.free.shape)
        if self.free is None or directions.shape != self.free.shape:
            raise ValueError(f"expected directions of shape {shape}; got {tuple(directions.shape)}")
        self.free.copy_(directions)

    def forward(self, z: Float[Tensor, "*batch k"]) -> Float[Tensor, "*batch D"]:
        """[z ; 0] or Q z."""
        if self.free is None:
            return torch.nn.functional.pad(z, (0, self.features_out - self.features_in))
        return z @ self.basis.mT

    def left_inverse(self, x: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch k"]:
        """The first k coordinates, or Qᵀ x: the nearest z in either case."""
        return x[..., : self.features_in] if self.free is None else x @ self.basis


class InjectiveMap(nn.Module):
    """f: R^k -> R^D, from k = d₀ through stages of growing width d₁ <= … <= dₙ = D: pad, then transform, n times.

    Arguments:
        features_in: k.
        transforms: a Transform over D, or several of growing width.
        basis: learn an orthonormal basis in each padding (`Pad`).

    Raises:
        ValueError: for widths that shrink, so for k > D; for two context widths; later, for points of a wrong width.

    Example:
        >>> from labkit.flows.transforms import Reverse
        >>> f = InjectiveMap(1, Reverse(3))
        >>> f(torch.tensor([2.0])), f.left_inverse(torch.tensor([0.3, 0.4, 5.0]))
        (tensor([0., 0., 2.]), tensor([5.]))
    """

    def __init__(self, features_in: int, transforms: Transform | Sequence[Transform], basis: bool = False):
        super().__init__()
        stages = [transforms] if isinstance(transforms, Transform) else list(transforms)
        if not stages:
            raise ValueError("expected a transform of R^D, or several of growing width; got an empty list")
        widths = [features_in, *(stage.features for stage in stages)]
        if sorted(widths) != widths or features_in < 1:
            raise ValueError(f"expected widths 1 <= k = d0 <= d1 <= ... <= dn = D; got {widths}")
        contexts = {stage.context_features for stage in stages} - {0}
        if len(contexts) > 1:
            raise ValueError(f"expected transforms of one context width; got widths {sorted(contexts)}")
        self.pads = nn.ModuleList(Pad(a, b, basis) for a, b in zip(widths[:-1], widths[1:], strict=True))
        self.transforms = nn.ModuleList(stages)
        self.features_in, self.features = features_in, widths[-1]
        self.context_features = contexts.pop() if contexts else 0

    def forward(
        self, z: Float[Tensor, "*points k"], context: Float[Tensor, "*contexts c"] | None = None
    ) -> Float[Tensor, "*batch D"]:
        """x = f(z; c), a point of the surface."""
        _of_width("coordinates", z, self.features_in)
        for pad, transform in zip(self.pads, self.transforms, strict=True):
            z = transform.forward_and_log_det(pad(z), context)[0]
        return z

    def left_inverse(
        self, x: Float[Tensor, "*points D"], context: Float[Tensor, "*contexts c"] | None = None
    ) -> Float[Tensor, "*batch k"]:
        """z = f†(x; c): f†(f(z)) = z, and f(f†(x)) is a point of the surface, though not always the nearest."""
        _of_width("points", x, self.features)
        for pad, transform in zip(reversed(self.pads), reversed(self.transforms), strict=True):
            x = pad.left_inverse(transform.inverse_and_log_det(x, context)[0])
        return x

    def jacobian(
        self, z: Float[Tensor, "*points k"], context: Float[Tensor, "*contexts c"] | None = None
    ) -> Float[Tensor, "*batch D k"]:
        """J = ∂f/∂z of the whole map, exactly: k Jacobian-vector products."""
        return jacobian(lambda point: self(point, context), z)

    def log_volume(
        self, z: Float[Tensor, "*points k"], context: Float[Tensor, "*contexts c"] | None = None
    ) -> Float[Tensor, "*batch"]:
        """½ log det JᵀJ in nats, exactly: how much k-dimensional area a unit of z covers on the surface.

        Costs k passes through f, where `log_det_surrogate` trains without that factor and cannot evaluate.
        """
        return half_log_det(self.jacobian(z, context))


class InjectiveDistribution(Seeded):
    """p(x∣c) on the surface {f(z; c)}, with respect to its k-dimensional area; the event has shape (D,).

        log p(x) = log p_low(z∣c) − ½ log det JᵀJ,   z = f†(x; c)        (nats)

    Arguments:
        low: p_low(z∣c), a Distribution over (k,).
        embed: f.
        context: (*batch, c), or None.
    """

    arg_constraints = {}
    # Any point is taken to the surface; that the probability lies there alone, no constraint of torch can say.
    support = constraints.real_vector

    def __init__(
        self,
        low: Distribution,
        embed: InjectiveMap,
        context: Float[Tensor, "*contexts c"] | None = None,
        validate_args: bool | None = None,
    ):
        self.low, self.embed, self.context = low, embed, context
        super().__init__(low.batch_shape, torch.Size((embed.features,)), validate_args)
        if self._validate_args and context is not None:
            refuse_nan("a context", context)

    def coordinates(self, x: Float[Tensor, "*points D"]) -> Float[Tensor, "*batch k"]:
        """z = f†(x).

        Raises:
            ValueError: for points of another width, or with a NaN (unless validation is off).
        """
        _of_width("points", x, self.embed.features)
        if self._validate_args:
            refuse_nan("points", x)
        return self.embed.left_inverse(x, self.context)

    def project(self, x: Float[Tensor, "*points D"]) -> Float[Tensor, "*batch D"]:
        """f(f†(x)): the point of the surface that stands for x."""
        return self.embed(self.coordinates(x), self.context)

    def reconstruction_error(self, x: Float[Tensor, "*points D"]) -> Float[Tensor, "*batch"]:
        """‖x − f(f†(x))‖², in squared units of x; 0 on the surface."""
        return (x - self.project(x)).square().sum(-1)

    def log_prob(self, value: Float[Tensor, "*points D"]) -> Float[Tensor, "*batch"]:
        """log p at the point of the surface that stands for `value`; nats, exact. Read it with the error beside it."""
        return self.log_prob_at(self.coordinates(value))

    def log_prob_at(self, z: Float[Tensor, "*points k"]) -> Float[Tensor, "*batch"]:
        """log p at f(z): for drawing a surface by its coordinates."""
        return self.low.log_prob(z) - self.embed.log_volume(z, self.context)

    def rsample_and_log_prob(
        self, sample_shape: Sequence[int] = (), *, generator: Generator | None = None
    ) -> tuple[Float[Tensor, "*draws D"], Float[Tensor, "*draws"]]:
        """Draws and their log-densities (nats), without f†."""
        z = self.low.rsample(torch.Size(sample_shape), generator=generator)
        return self.embed(z, self.context), self.log_prob_at(z)

    def rsample(self, sample_shape=(), *, generator: Generator | None = None) -> Float[Tensor, "*draws D"]:
        """Draws of shape sample_shape + batch_shape + (D,), differentiable in weights and context."""
        return self.embed(self.low.rsample(torch.Size(sample_shape), generator=generator), self.context)

    def expand(self, batch_shape: Sequence[int], _instance=None) -> "InjectiveDistribution":
        """The same densities repeated to batch_shape; the context is not copied."""
        return InjectiveDistribution(self.low.expand(batch_shape), self.embed, self.context, self._validate_args)


class InjectiveFlow(nn.Module):
    """A conditional density on a learned surface: `flow(context)` is an `InjectiveDistribution`.

    Arguments:
        flow_low: p_low, a module with `features` = k and `context_features` whose call on a context gives a
            Distribution over (k,), as `Flow` does.
        transform: g over R^D, or several of growing width (`InjectiveMap`).
        basis: learn an orthonormal basis in which to pad.

    Raises:
        ValueError: for k > D, or contexts of two widths; when called, for a missing, wrong or unwanted context.

    Example:
        >>> from labkit.flows import Coupling, ElementwiseAffine, neural_spline_flow
        >>> flow = InjectiveFlow(neural_spline_flow(1), Coupling(ElementwiseAffine(), 3))
        >>> p = flow()
        >>> p.sample((5,), generator=torch.Generator().manual_seed(0)).shape
        torch.Size([5, 3])
        >>> p.log_prob(torch.tensor([0.0, 3.0, 4.0]))  # fresh, a normal on the first axis: −½ log 2π nats
        tensor(-0.9189, ...)
        >>> p.reconstruction_error(torch.tensor([0.0, 3.0, 4.0]))
        tensor(25., ...)
    """

    def __init__(self, flow_low: nn.Module, transform: Transform | Sequence[Transform], basis: bool = False):
        super().__init__()
        self.flow_low, self.embed = flow_low, InjectiveMap(flow_low.features, transform, basis)
        widths = {flow_low.context_features, self.embed.context_features} - {0}
        if len(widths) > 1:
            raise ValueError(f"expected one context width for flow and transform; got widths {sorted(widths)}")
        self.features, self.context_features = self.embed.features, widths.pop() if widths else 0

    def forward(
        self, context: Float[Tensor, "*contexts c"] | None = None, validate_args: bool | None = None
    ) -> InjectiveDistribution:
        """p(x∣context), with batch shape that of the context; validate_args as in `Flow`: whether to look for NaN."""
        width, got = self.context_features, "None" if context is None else f"shape {tuple(context.shape)}"
        if width and (context is None or context.ndim == 0 or context.shape[-1] != width):
            raise ValueError(f"this flow expected a context of shape (..., {width}); got {got}")
        if not width and context is not None:
            raise ValueError(f"this flow is unconditional and expected no context; got {got}")
        low = self.flow_low(context if self.flow_low.context_features else None)
        low = low.expand(() if context is None else context.shape[:-1])
        return InjectiveDistribution(low, self.embed, context, validate_args)


def _of_width(name: str, x: Tensor, width: int) -> None:
    if x.ndim == 0 or x.shape[-1] != width:
        raise ValueError(f"expected {name} of shape (..., {width}); got shape {tuple(x.shape)}")
