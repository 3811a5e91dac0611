"""Figures about models, as plain tables."""

from labkit.evaluate.clusters import b_cubed, cluster_scores, paired_f
from labkit.evaluate.compare import compare, summary
from labkit.evaluate.diagnostics import Diagnosis, diagnose
from labkit.evaluate.induction import macro, macro_parts, score_inducer, text_of
from labkit.evaluate.likelihood import nats_per_word, optimum, paired_difference, standard_error
from labkit.evaluate.occurrence_diagnostics import OccurrenceDiagnosis, diagnose_occurrences
from labkit.evaluate.pairs import contexts_alike, in_context, word_similarity
from labkit.evaluate.senses import (
    by_known_cues,
    mode_f1,
    mode_masses,
    naive_bayes_ceiling,
    score_clusters,
    sense_recovery,
    trivial_baselines,
)
from labkit.evaluate.systems import SYSTEMS
from labkit.evaluate.windows import LabelledWindows, grammar_windows, handwritten_windows

__all__ = [
    "SYSTEMS", "Diagnosis", "LabelledWindows", "OccurrenceDiagnosis", "b_cubed", "by_known_cues", "cluster_scores",
    "compare", "contexts_alike", "diagnose", "diagnose_occurrences", "grammar_windows", "handwritten_windows",
    "in_context", "macro", "macro_parts", "mode_f1", "mode_masses", "naive_bayes_ceiling", "nats_per_word", "optimum",
    "paired_difference", "paired_f", "score_clusters", "score_inducer", "sense_recovery",
    "standard_error", "summary", "text_of", "trivial_baselines", "word_similarity",
]  # fmt: skip
