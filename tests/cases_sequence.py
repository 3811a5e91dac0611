"""Named transforms of R^d for the property suite in test_transforms.py: layers over sequences and sets of points."""

from labkit.dequantise.sequence import (
    PerPosition,
    TransformerAutoregressive,
    TransformerCoupling,
    autoregressive_flow,
    coupling_flow,
)
from labkit.flows.affine import ElementwiseAffine
from labkit.flows.coupling import Coupling, Elementwise
from labkit.flows.linear import LULinear
from labkit.flows.mixture import MixtureCDF
from labkit.flows.transforms import Compose

CONTEXT, SMALL = 3, {"width": 8, "heads": 2}
MIXTURE, AFFINE = MixtureCDF(components=3), ElementwiseAffine()


def _both_halves(ordered):
    return Compose([TransformerCoupling(MIXTURE, 2, 2, ordered, swap, CONTEXT, **SMALL) for swap in (False, True)])


CONDITIONAL = {
    "the same affine map at each position": lambda: PerPosition(Elementwise(AFFINE, 2, CONTEXT, (8,)), 3),
    "transformer couplings, set": lambda: _both_halves(False),
    "transformer couplings, sequence": lambda: _both_halves(True),
    "transformer autoregressive": lambda: TransformerAutoregressive(MIXTURE, 2, 2, CONTEXT, **SMALL),
    "transformer autoregressive, 1-d": lambda: TransformerAutoregressive(AFFINE, 3, 1, CONTEXT, **SMALL),
}
UNCONDITIONAL = {
    "the same coupling at each position": lambda: PerPosition(Coupling(MIXTURE, 2, hidden=(8,)), 2),
    "one transformer coupling of 3 coordinates": lambda: TransformerCoupling(AFFINE, 2, 3, **SMALL),
    "transformer coupling with soft bins": lambda: TransformerCoupling(AFFINE, 2, 2, bins=6, **SMALL),
    "the same linear map at each position": lambda: PerPosition(LULinear(2), 2),
    "one autoregressive transformer layer": lambda: TransformerAutoregressive(MIXTURE, 2, 2, **SMALL),
}
# Not the identity when fresh: the linear maps begin as rotations. Not for the property suite, but for its own tests.
FLOWS = {
    "set": lambda: coupling_flow(3, 2, layers=2, components=3, bins=6, **SMALL),
    "sequence": lambda: coupling_flow(3, 2, ordered=True, layers=2, components=3, bins=6, **SMALL),
    "autoregressive": lambda: autoregressive_flow(3, 2, components=3, bins=6, **SMALL),
    "autoregressive, 1-d": lambda: autoregressive_flow(4, 1, components=3, bins=0, **SMALL),
}
