"""Between these transforms and those of torch.distributions, in both directions."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import constraints
from torch.distributions.transforms import Transform as DistributionTransform

from labkit.flows.transforms import Transform


class AsTorchTransform(DistributionTransform):
    """A transform, under one context, for torch.distributions: `TransformedDistribution(base, AsTorchTransform(t, c))`.

    log_abs_det_jacobian is the transform's own log-determinant, in nats.

    Example:
        >>> import torch
        >>> from torch.distributions import Independent, Laplace, TransformedDistribution
        >>> from labkit.flows.transforms import Reverse
        >>> base = Independent(Laplace(torch.zeros(2), torch.ones(2)), 1)
        >>> TransformedDistribution(base, AsTorchTransform(Reverse(2))).log_prob(torch.zeros(2))
        tensor(-1.3863)
    """

    bijective = True
    domain = codomain = constraints.real_vector

    def __init__(self, transform: Transform, context: Float[Tensor, "*contexts c"] | None = None, cache_size: int = 0):
        super().__init__(cache_size)
        self.transform, self.context = transform, context

    def _call(self, u: Tensor) -> Tensor:
        return self.transform.forward_and_log_det(u, self.context)[0]

    def _inverse(self, z: Tensor) -> Tensor:
        return self.transform.inverse_and_log_det(z, self.context)[0]

    def log_abs_det_jacobian(self, u: Tensor, z: Tensor) -> Tensor:
        return self.transform.forward_and_log_det(u, self.context)[1]

    def forward_shape(self, shape: torch.Size) -> torch.Size:
        batch = () if self.context is None else self.context.shape[:-1]
        return torch.Size((*torch.broadcast_shapes(shape[:-1], batch), shape[-1]))

    inverse_shape = forward_shape

    def with_cache(self, cache_size: int = 1) -> "AsTorchTransform":
        return AsTorchTransform(self.transform, self.context, cache_size)

    def __eq__(self, other) -> bool:
        same = isinstance(other, AsTorchTransform) and other.transform is self.transform
        return same and other.context is self.context

    __hash__ = None  # as of torch's own transforms that compare by value


class FromTorchTransform(Transform):
    """One of torch's bijections as a layer: elementwise, or of whole points (event_dim 1). It has no context.

    Raises:
        ValueError: for a transform that is not bijective, or of events with more than one axis.

    Example:
        >>> import torch
        >>> from torch.distributions.transforms import AffineTransform
        >>> FromTorchTransform(AffineTransform(1.0, 2.0), features=2).forward_and_log_det(torch.zeros(2))
        (tensor([1., 1.]), tensor(1.3863))
    """

    def __init__(self, transform: DistributionTransform, features: int):
        super().__init__(features)
        simple = transform.bijective and transform.domain.event_dim <= 1
        # stick-breaking is simple, and yet does not keep the width
        if not simple or transform.forward_shape(torch.Size((features,))) != (features,):
            raise ValueError(
                "expected a bijective torch transform of numbers, or of vectors whose width it keeps; got "
                f"{type(transform).__name__} (bijective={transform.bijective}, event_dim={transform.domain.event_dim})"
            )
        self.transform = transform

    def forward_and_log_det(
        self, u: Float[Tensor, "*points d"], context: Float[Tensor, "*contexts c"] | None = None
    ) -> tuple[Float[Tensor, "*points d"], Float[Tensor, "*points"]]:
        self.batch_shape(u, context)
        z = self.transform(u)
        return z, self._log_det(u, z)

    def inverse_and_log_det(
        self, z: Float[Tensor, "*points d"], context: Float[Tensor, "*contexts c"] | None = None
    ) -> tuple[Float[Tensor, "*points d"], Float[Tensor, "*points"]]:
        self.batch_shape(z, context)
        u = self.transform.inv(z)
        return u, -self._log_det(u, z)

    def _log_det(self, u: Tensor, z: Tensor) -> Tensor:
        log_det = self.transform.log_abs_det_jacobian(u, z)
        return log_det.expand(u.shape).sum(-1) if self.transform.domain.event_dim == 0 else log_det
