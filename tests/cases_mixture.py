"""Named transforms of R^d for the property suite in test_transforms.py: mixture-CDF bijections and `Inverse`."""

from labkit.flows.autoregressive import MaskedAutoregressive
from labkit.flows.coupling import Coupling, Elementwise
from labkit.flows.mixture import MixtureCDF
from labkit.flows.spline import RationalQuadraticSpline
from labkit.flows.squash import Inverse
from labkit.flows.transforms import Compose

CONTEXT, HIDDEN = 3, (8, 8)
LOGISTIC, GAUSSIAN = MixtureCDF(components=4), MixtureCDF(components=3, kind="gaussian")
SPLINE = RationalQuadraticSpline(bins=5, bound=3.0)


def _alternating(bijection, features):
    return Compose([Coupling(bijection, features, CONTEXT, HIDDEN, swap) for swap in (False, True)])


CONDITIONAL = {
    "elementwise logistic mixture-CDF, 1-d": lambda: Elementwise(LOGISTIC, 1, CONTEXT, HIDDEN),
    "elementwise gaussian mixture-CDF, 2-d": lambda: Elementwise(GAUSSIAN, 2, CONTEXT, HIDDEN),
    "logistic mixture-CDF couplings, 3-d": lambda: _alternating(LOGISTIC, 3),
    "gaussian mixture-CDF couplings, 2-d": lambda: _alternating(GAUSSIAN, 2),
    "autoregressive mixture-CDF": lambda: MaskedAutoregressive(GAUSSIAN, 3, CONTEXT, HIDDEN),
    "inverse of spline couplings": lambda: Inverse(_alternating(SPLINE, 3)),
}
UNCONDITIONAL = {
    "constant logistic mixture-CDF": lambda: Elementwise(LOGISTIC, 2),
    "one gaussian mixture-CDF coupling": lambda: Coupling(GAUSSIAN, 3, hidden=HIDDEN),
    "inverse of a mixture-CDF": lambda: Inverse(Elementwise(LOGISTIC, 2)),
}
