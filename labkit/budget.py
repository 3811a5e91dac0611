"""How much work a notebook does: the full amount, or a smoke test's."""

import os
from collections.abc import Mapping


class Budget:
    """Numbers that come in pairs: what the notebook is written for, and what a smoke test can afford.

    With LABKIT_SMOKE=1 in the environment the second of each pair holds, and a banner says so: the figures are then
    those of a half-trained model.

    Example:
        >>> budget = Budget(steps=(3000, 50), seeds=(5, 1))
        >>> budget.steps in (3000, 50)
        True
    """

    def __init__(self, **pairs: tuple[int, int]):
        for name, pair in pairs.items():
            if not (isinstance(pair, tuple) and len(pair) == 2):
                raise ValueError(f"{name} is {pair!r}; expected a pair (full, smoke), such as (3000, 50)")
        self.smoke = os.environ.get("LABKIT_SMOKE", "") not in ("", "0")
        self._values = {name: pair[1 if self.smoke else 0] for name, pair in pairs.items()}
        if self.smoke:
            print("SMOKE MODE: few steps, so the figures below mean nothing. Unset LABKIT_SMOKE for the real ones.")

    def __getattr__(self, name: str) -> int:
        values: Mapping[str, int] = self.__dict__.get("_values", {})
        if name not in values:
            raise AttributeError(f"this budget has no {name!r}; it has {', '.join(values) or 'nothing'}")
        return values[name]

    def __repr__(self) -> str:
        numbers = ", ".join(f"{name}={value:,}" for name, value in self._values.items())
        return f"Budget({numbers}{', smoke' if self.smoke else ''})"
