"""Figures about models, as plain tables."""

from labkit.evaluate.compare import compare, summary
from labkit.evaluate.likelihood import nats_per_word, optimum, paired_difference, standard_error
from labkit.evaluate.senses import (
    by_known_cues,
    mode_f1,
    mode_masses,
    naive_bayes_ceiling,
    score_clusters,
    sense_recovery,
    trivial_baselines,
)
from labkit.evaluate.windows import LabelledWindows, grammar_windows, handwritten_windows

__all__ = [
    "LabelledWindows", "by_known_cues", "compare", "grammar_windows", "handwritten_windows", "mode_f1",
    "mode_masses", "naive_bayes_ceiling", "nats_per_word", "optimum", "paired_difference", "score_clusters",
    "sense_recovery", "standard_error", "summary", "trivial_baselines",
]  # fmt: skip
