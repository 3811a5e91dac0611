"""From tokens to points and back: five ways of dequantising, priors over sequences, and tasks to compare them on.

| dequantiser | supports | reading back |
|---|---|---|
| `UniformDequantiser` | fixed cells, filled evenly | exact |
| `VariationalDequantiser` | fixed cells, filled by a flow | exact |
| `ArgmaxDequantiser`, `BinaryArgmaxDequantiser` | fixed parts of space, filled by a flow | exact |
| `CategoricalDequantiser`, `VariationalCategoricalDequantiser` | everywhere | Bayes' rule; a network |
| `TruncatedDequantiser` (TRUFL) | learned, bounded | Bayes' rule, exact where supports are disjoint |
"""

from labkit.dequantise.argmax import ArgmaxDequantiser, BinaryArgmaxDequantiser
from labkit.dequantise.base import CellDequantiser, Dequantiser
from labkit.dequantise.bayes import BayesDequantiser, token_flow
from labkit.dequantise.categorical import (
    CategoricalDequantiser,
    VariationalCategoricalDequantiser,
    decoder_weight,
)
from labkit.dequantise.colouring import GraphColouring
from labkit.dequantise.density import Bits, DequantisedDensity, Draws, Normaliser
from labkit.dequantise.noise import TokenNoise
from labkit.dequantise.ordinal import UniformDequantiser, VariationalDequantiser
from labkit.dequantise.sequence import (
    PerPosition,
    TransformerAutoregressive,
    TransformerCoupling,
    autoregressive_flow,
    coupling_flow,
)
from labkit.dequantise.tasks import (
    MarkovLanguage,
    QuantisedEightGaussians,
    SetShuffling,
    SetSummation,
    Task,
    TaskBatches,
    TokenBatch,
)
from labkit.dequantise.truncated import TruncatedDequantiser

__all__ = [
    "ArgmaxDequantiser",
    "BayesDequantiser",
    "BinaryArgmaxDequantiser",
    "Bits",
    "CategoricalDequantiser",
    "CellDequantiser",
    "Dequantiser",
    "DequantisedDensity",
    "Draws",
    "GraphColouring",
    "MarkovLanguage",
    "Normaliser",
    "PerPosition",
    "QuantisedEightGaussians",
    "SetShuffling",
    "SetSummation",
    "Task",
    "TaskBatches",
    "TokenBatch",
    "TokenNoise",
    "TransformerAutoregressive",
    "TransformerCoupling",
    "TruncatedDequantiser",
    "UniformDequantiser",
    "VariationalCategoricalDequantiser",
    "VariationalDequantiser",
    "autoregressive_flow",
    "coupling_flow",
    "decoder_weight",
    "token_flow",
]
