"""Hyper-parameters as scikit-learn has them: arguments of `__init__`, stored as they are, checked in `fit`."""

import inspect
from numbers import Real

WHOLE = {  # the least value of each hyper-parameter that is a whole number
    "dim": 1, "vector_dim": 1, "word_dim": 1, "components": 1, "k": 1, "layers": 0, "bins": 2, "samples": 1,
    "negatives": 0, "window": 1, "steps": 1, "batch_size": 1, "seed": 0,
}  # fmt: skip


class Parameters:
    """Reading, setting and checking the arguments of `__init__`."""

    @classmethod
    def parameter_names(cls) -> list[str]:
        """The arguments of `__init__`, in their order."""
        return [name for name in inspect.signature(cls.__init__).parameters if name != "self"]

    def get_params(self, deep: bool = True) -> dict:
        """The hyper-parameters by name, as scikit-learn has it."""
        return {name: getattr(self, name) for name in self.parameter_names()}

    def set_params(self, **params) -> "Parameters":
        """Change hyper-parameters; takes effect at the next fit.

        Raises:
            ValueError: for a name that is none of them.
        """
        for name, value in params.items():
            if name not in self.parameter_names():
                raise ValueError(
                    f"{type(self).__name__} has no parameter {name!r}; expected one of "
                    + ", ".join(self.parameter_names())
                )
            setattr(self, name, value)
        return self

    def _remember(self, arguments: dict) -> None:
        """Store the arguments of `__init__` as they are (scikit-learn's rule); they are checked in `fit`.

        A subclass with more of them than its parent stores its own after its parent has stored what it knows.
        """
        for name in self.parameter_names():
            if name in arguments:
                setattr(self, name, arguments[name])

    def _check(self) -> None:
        """ValueError for a hyper-parameter out of its range."""
        params = self.get_params()
        for name in WHOLE.keys() & params.keys():
            if not _is_whole(params[name], WHOLE[name]):
                raise ValueError(f"{name} is {params[name]!r}; expected a whole number of at least {WHOLE[name]}")
        hidden = params.get("hidden", (1,))
        if not (isinstance(hidden, tuple | list) and hidden and all(_is_whole(width, 1) for width in hidden)):
            raise ValueError(f"hidden is {hidden!r}; expected the widths of one or more layers, such as (64, 64)")
        rate = params["learning_rate"]
        if not (isinstance(rate, Real) and 0 < rate < float("inf")):
            raise ValueError(f"learning_rate is {rate!r}; expected a positive number such as 0.005")


def _is_whole(value, least: int) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and value == value // 1 and value >= least
