"""What one can ask of any density over R^k. Knows nothing of words."""

from labkit.density.entropy import Estimate, entropy
from labkit.density.grid import Grid, draw
from labkit.density.hdr import hdr_contains, hdr_levels
from labkit.density.modes import Mode, Modes, find_modes
from labkit.density.null import NullTable, null_drops, null_threshold
from labkit.density.overlap import bhattacharyya, kl_divergence, overlap
from labkit.density.posterior import GridPosterior, ImportancePosterior, Posterior, posterior

__all__ = [
    "Estimate", "Grid", "GridPosterior", "ImportancePosterior", "Mode", "Modes", "NullTable", "Posterior",
    "bhattacharyya", "draw", "entropy", "find_modes", "hdr_contains", "hdr_levels", "kl_divergence",
    "null_drops", "null_threshold", "overlap", "posterior",
]  # fmt: skip
