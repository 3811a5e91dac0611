"""The explorer: answers (`session` and what it uses), the widget that gives them, the page (`front`) that draws."""

from labkit.view.explorer.training import TrainingRecorder
from labkit.view.explorer.widget import Explorer, explore

__all__ = ["Explorer", "TrainingRecorder", "explore"]
