"""Where to compute, and on how many threads."""

from contextlib import contextmanager

import torch


def pick_device(name: str = "auto") -> torch.device:
    """A torch device: "auto" takes a GPU where there is one.

    Raises:
        ValueError: for a GPU where there is none, or a name torch does not know.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"device is {name!r}; expected 'auto', 'cpu', 'cuda' or 'cuda:0'") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device is {name!r}, but torch sees no GPU here; expected 'cpu' or 'auto'")
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f"device is {name!r}; expected 'auto', 'cpu', 'cuda' or 'cuda:0'")
    return device


@contextmanager
def one_thread(device: torch.device):
    """Let torch compute on one CPU thread inside, as many as before afterwards.

    A training step is hundreds of small operations. A second thread gains little on an idle machine, and on a busy
    one, where threads wait for each other at each of them, loses much. One thread also makes the same bits every time.
    """
    before = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
