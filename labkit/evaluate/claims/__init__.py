"""The four claims of stochastic embeddings, each as a test that can fail.

Disambiguation (`senses_in_context`, `inclusion`), uncertainty (`uncertainty`), smooth transitions (`transitions`) and
generalisation (`generalisation`). `benchmarks/claims.py` puts them together.
"""

from labkit.evaluate.claims.generalisation import (
    corpus_windows,
    fit_with_chosen_steps,
    generalisation_row,
    vector_recovery,
)
from labkit.evaluate.claims.inclusion import baselines, density_inclusion, entailment_scores, known_pairs
from labkit.evaluate.claims.intervals import (
    bootstrap_interval,
    correlation,
    partial_rank_correlation,
    proportion_interval,
    rank_correlation,
)
from labkit.evaluate.claims.senses_in_context import (
    LatentModes,
    OccurrenceModes,
    PointSenses,
    pairs_for,
    scws_scores,
    wic_scores,
)
from labkit.evaluate.claims.transitions import (
    moved,
    path_figures,
    share_of_smooth,
    step_figures,
    support_of,
    swapped,
    wasserstein_steps,
    words_along,
)
from labkit.evaluate.claims.uncertainty import (
    against_senses,
    calibration_scores,
    mode_calibration,
    stratified_words,
    word_uncertainty,
)

__all__ = [
    "LatentModes", "OccurrenceModes", "PointSenses", "against_senses", "baselines", "bootstrap_interval",
    "calibration_scores", "corpus_windows", "correlation", "density_inclusion", "entailment_scores",
    "fit_with_chosen_steps", "generalisation_row", "known_pairs", "mode_calibration", "moved", "pairs_for",
    "partial_rank_correlation", "path_figures", "proportion_interval", "rank_correlation", "scws_scores",
    "share_of_smooth", "step_figures", "stratified_words", "support_of", "swapped", "vector_recovery",
    "wasserstein_steps", "wic_scores", "word_uncertainty", "words_along",
]  # fmt: skip
