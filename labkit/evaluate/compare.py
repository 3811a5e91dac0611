"""One table for all models."""

from collections.abc import Sequence

import pandas as pd

from labkit.evaluate.likelihood import nats_per_word, optimum, standard_error
from labkit.evaluate.senses import mode_f1, mode_masses, sense_recovery
from labkit.evaluate.windows import GRAMMAR_SEED, grammar_windows, handwritten_windows

PARAMETER_TOLERANCE = 0.10


def compare(
    models: Sequence, on: str = "senses", per_word: int = 300, seed: int = GRAMMAR_SEED
) -> pd.DataFrame:
    """Models side by side: nats, sense recovery, modes, parameters, seconds.

    Columns: `nats` per held-out context word and its standard error over windows, `above_optimum` (the distance
    from what the grammar itself would give), `ari`, `ami`, `v`, `accuracy` and `clusters` of grammar occurrences,
    `ari_written` of hand-written sentences with at least one known cue, `mode_f1`, `parameters`, `seconds` of training.

    Arguments:
        models: fitted on `load_corpus("senses")`.
        on: "senses".
        per_word: held-out grammar windows a word.
        seed: of these windows; the same for all models.

    Raises:
        NotFittedError: for a model that is not fitted.
        ValueError: for another name, no model, or models whose vocabularies lack words of the grammar.
    """
    if on != "senses":
        raise ValueError(f"on is {on!r}; expected 'senses', the corpus whose senses and optimum are known")
    if not models:
        raise ValueError("got no model to compare; expected a list of fitted ones")
    rows = []
    for model in models:
        drawn = grammar_windows(model.vocabulary_, per_word, seed)
        rows.append({"model": model.name} | summary(model, drawn, handwritten_windows(model.vocabulary_)))
    table = pd.DataFrame(rows).set_index("model")
    best = optimum(drawn)
    table.attrs["optimum"], table.attrs["optimum_stderr"] = float(best.mean()), standard_error(best)
    spread = table.parameters.max() / table.parameters.min() - 1
    table.attrs["same_size"] = bool(spread <= PARAMETER_TOLERANCE)
    return table


def summary(model, drawn, written) -> dict[str, float]:
    """The row of one model."""
    nats, best = nats_per_word(model, drawn), optimum(drawn)
    masses = mode_masses(model, drawn)
    recovery, _ = sense_recovery(drawn, masses)
    on_written, _ = sense_recovery(written, mode_masses(model, written), lambda w: w.known_cues >= 1)
    return {
        "nats": float(nats.mean()),
        "stderr": standard_error(nats),
        "above_optimum": float((nats - best).mean()),
        **{name: recovery[name] for name in ("ari", "ami", "v", "accuracy", "clusters")},
        "ari_written": on_written["ari"],
        "mode_f1": mode_f1(drawn, masses)["f1"],
        "parameters": model.n_parameters_,
        "seconds": getattr(model, "seconds_", float("nan")),
    }
