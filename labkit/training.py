"""One visible training loop. It knows of losses, batches and steps, and nothing of words or flows."""

import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path

import torch
from torch import nn
from tqdm.auto import tqdm

from labkit.folders import CheckpointError, read_folder, write_folder
from labkit.networks.devices import one_thread as one_thread
from labkit.networks.devices import pick_device as pick_device
from labkit.networks.processes import average_gradients, mean_of, rank_and_count, same_weights

KEEP_EVERY = 200  # steps between looks at whether this is the best state so far
WARM_UP = 50  # steps over which the learning rate rises
DECAY_FROM = 0.3  # share of the steps after which it falls to zero


class TrainingDiverged(RuntimeError):
    """The loss became NaN or infinite. The model is left in its last good state."""


def learning_rate_factor(progress: float, steps: int) -> float:
    """Rises over the first steps, stays, then falls linearly to zero; progress in [0, 1)."""
    rise = min(1.0, (progress * steps + 1) / WARM_UP)
    return rise * min(1.0, (1 - progress) / (1 - DECAY_FROM))


class Optimizers:
    """Adam for weights; lazy Adam for tables, of which a step touches only the rows it has read."""

    def __init__(self, model: nn.Module, learning_rate: float):
        tables = [m.weight for m in model.modules() if isinstance(m, nn.Embedding) and m.sparse]
        in_tables = {id(p) for p in tables}
        self.weights = [p for p in model.parameters() if id(p) not in in_tables]
        self.learning_rate = learning_rate
        self.each = [torch.optim.SparseAdam(tables)] if tables else []
        self.each += [torch.optim.Adam(self.weights)] if self.weights else []

    def step(self, loss: torch.Tensor, factor: float) -> None:
        """One step down the gradient of the loss."""
        self.clear()
        loss.backward()
        self.apply(factor)

    def clear(self) -> None:
        """Forget the gradients."""
        for optimizer in self.each:
            optimizer.zero_grad()

    def apply(self, factor: float) -> None:
        """One step down the gradients there are, of all processes together."""
        average_gradients(weight for optimizer in self.each for weight in optimizer.param_groups[0]["params"])
        if self.weights:
            nn.utils.clip_grad_norm_(self.weights, 1.0)
        for optimizer in self.each:
            for group in optimizer.param_groups:
                group["lr"] = self.learning_rate * factor
            optimizer.step()

    def state(self) -> dict[str, torch.Tensor]:
        """Every moment and step count as named tensors."""
        return {
            f"optimizer.{i}.{number}.{name}": torch.as_tensor(value)
            for i, optimizer in enumerate(self.each)
            for number, entry in optimizer.state_dict()["state"].items()
            for name, value in entry.items()
        }

    def restore(self, tensors: dict[str, torch.Tensor]) -> None:
        """Put back what `state` gave."""
        for i, optimizer in enumerate(self.each):
            saved = optimizer.state_dict()
            saved["state"] = {}
            for key, value in tensors.items():
                part, index, number, name = [*key.split(".", 3), "", "", ""][:4]
                if part == "optimizer" and int(index) == i:
                    whole = name == "step" and isinstance(optimizer, torch.optim.SparseAdam)
                    saved["state"].setdefault(int(number), {})[name] = int(value) if whole else value
            optimizer.load_state_dict(saved)


def train(
    model: nn.Module,
    batches,
    steps: int,
    learning_rate: float,
    seed: int = 0,
    progress: bool = True,
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 1000,
    resume: bool = False,
    callback: Callable[[int, float], None] | None = None,
    accumulate: int = 1,
    precision: torch.dtype | None = None,
) -> list[float]:
    """Minimise `model.loss(batch, generator, share)`, and return the losses, one for each step.

    Ctrl-C stops and keeps the best state so far. With a `checkpoint` folder all that training depends on is
    written there, atomically, every so often and at Ctrl-C; `resume` goes on from it, and on one thread ends
    in the same bits as if it had never stopped. Processes that `labkit.networks.processes` has joined average their
    gradients; each takes its own share of every batch, and the first of them writes checkpoints.

    Arguments:
        model: has `loss`, giving a pair: what is minimised and what is reported (both nats per context word);
            share in [0, 1) is how much of the training is done.
        batches: has `take(n)`, `state()` and `restore(state)`, and batches with a `mask` of the words in them.
        steps, learning_rate: of lazy and plain Adam; the rate rises, stays and falls to zero.
        seed: of all randomness in the loss.
        callback: called after each step with the number of steps done and the reported figure.
        accumulate: batches for one step, whose gradients are averaged: larger batches than memory holds.
        precision: torch.bfloat16 for products in that precision (autocast); None for that of the weights.

    Raises:
        TrainingDiverged: if the loss becomes NaN; the model is left in its last good state.
    """
    device = next(model.parameters()).device
    rank, processes = rank_and_count()
    generator = torch.Generator(device).manual_seed(seed)
    optimizers, losses = Optimizers(model, learning_rate), []
    if resume:
        losses = _restore(Path(checkpoint), model, optimizers, batches, generator)
    same_weights(model)
    if rank:  # noise of its own, and no files
        generator.manual_seed(seed + (rank << 32) + len(losses))
        checkpoint = None
    best = _Best(model, len(losses))
    bar = tqdm(total=steps, initial=len(losses), disable=not progress, unit="step", dynamic_ncols=True)
    words, started, ctrl_c = 0, time.perf_counter(), _CtrlC()
    try:
        for group in _groups(batches.take((steps - len(losses)) * accumulate), accumulate):
            share = len(losses) / steps
            figure = mean_of(_gradients(model, optimizers, group, generator, share, precision), device)
            if not math.isfinite(figure):
                raise TrainingDiverged(f"the loss became {figure} at step {len(losses):,} of {steps:,}")
            optimizers.apply(learning_rate_factor(share, steps))
            losses.append(figure)
            words += processes * sum(int(batch.mask.sum()) for batch in group)
            bar.update()
            if len(losses) % KEEP_EVERY == 0:
                best.look(losses)
                speed = words / (time.perf_counter() - started)
                bar.set_postfix_str(f"{best.recent:.3f} nats/word, {speed:,.0f} words/s")
            if checkpoint and len(losses) % checkpoint_every == 0 and _is_finite(model):
                save_state(checkpoint, model, optimizers, batches, generator, losses)
            if callback:
                callback(len(losses), figure)
            if mean_of(ctrl_c.pressed, device) > 0:  # in any process
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        best.look(losses)
        if checkpoint:
            save_state(checkpoint, model, optimizers, batches, generator, losses)
        kept = best.put_back()
        note = f"Stopped at step {len(losses):,} of {steps:,}; kept the best state, of step {kept:,}."
        bar.write(note, file=sys.stderr)
    except TrainingDiverged as error:
        kept = best.put_back()
        if checkpoint:  # the moments are spoilt too, so that a resumed training begins with new ones
            save_state(checkpoint, model, Optimizers(model, learning_rate), batches, generator, losses[:kept])
        raise TrainingDiverged(
            f"{error}; the model is back in its last good state, of step {kept:,}. "
            f"Try a learning rate below {learning_rate:g}."
        ) from None
    finally:
        ctrl_c.let_go()
        bar.close()
    return losses


def _groups(batches: Iterable, size: int) -> Iterable[list]:
    """So many batches at a time; none is taken before it is needed, so that their state stays that of whole steps."""
    batches = iter(batches)
    while group := list(islice(batches, size)):
        yield group


def _gradients(model, optimizers: Optimizers, group: list, generator, share: float, precision) -> float:
    """Leave the gradients of the group's mean loss, and return the mean of the reported figures."""
    optimizers.clear()
    figures = []
    for batch in group:
        with torch.autocast(generator.device.type, precision, enabled=precision is not None):
            loss, figure = _loss(model, batch, generator, share)
        figures.append(figure)
        if not math.isfinite(figure):
            break
        (loss / len(group)).backward()
    return sum(figures) / len(figures)


def _loss(model, batch, generator, share: float) -> tuple[torch.Tensor | None, float]:
    """What is minimised, and the figure that is reported: NaN where spoilt weights are refused as arguments."""
    try:
        loss, reported = model.loss(batch, generator, share)
    except ValueError:  # torch's distributions look at their parameters before any loss is made of them
        if _is_finite(model):
            raise
        return None, math.nan
    return loss, reported.item()


def _is_finite(model: nn.Module) -> bool:
    return all(weight.isfinite().all() for weight in model.parameters())


class _CtrlC:
    """Holds Ctrl-C back to the end of the step, so that what is kept is whole; a second one acts at once."""

    def __init__(self):
        self.pressed, self.previous = False, None
        if threading.current_thread() is threading.main_thread():  # elsewhere Python takes no signals
            self.previous = signal.signal(signal.SIGINT, self._note)

    def _note(self, number, frame) -> None:
        if self.pressed:
            raise KeyboardInterrupt
        self.pressed = True

    def let_go(self) -> None:
        if self.previous is not None:
            signal.signal(signal.SIGINT, self.previous)


class _Best:
    """A copy of the weights where the mean of the recent losses was lowest."""

    def __init__(self, model: nn.Module, step: int):
        self.model, self.recent, self.lowest, self.step = model, math.inf, math.inf, step
        self.state = {k: v.clone() for k, v in model.state_dict().items()}

    def look(self, losses: list[float]) -> None:
        if not losses:
            return
        self.recent = sum(losses[-KEEP_EVERY:]) / len(losses[-KEEP_EVERY:])
        if self.recent < self.lowest and _is_finite(self.model):
            self.lowest, self.step = self.recent, len(losses)
            for name, value in self.model.state_dict().items():
                self.state[name].copy_(value)

    def put_back(self) -> int:
        self.model.load_state_dict(self.state)
        return self.step


def save_state(folder, model, optimizers, batches, generator, losses: Iterable[float]) -> None:
    """Write all that the rest of the training depends on, replacing an older state in one go."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= optimizers.state() | {"generator": generator.get_state()}
    write_folder(folder, tensors, {"training": {"batches": batches.state(), "losses": list(losses)}})


def _restore(folder: Path, model, optimizers, batches, generator) -> list[float]:
    tensors, parts = read_folder(folder)
    if "training" not in parts:
        raise CheckpointError(f"{folder} holds no state of training (perhaps a finished model); cannot resume from it")
    weights = {k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")}
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    if {name: value.shape for name, value in weights.items()} != shapes:
        raise CheckpointError(
            f"the state in {folder} belongs to another model, other settings or another corpus; "
            "expected those with which the training began"
        )
    try:
        batches.restore(parts["training"]["batches"])
        generator.set_state(tensors["generator"])
    except (ValueError, RuntimeError) as error:  # other windows; a generator of another kind of device
        raise CheckpointError(f"cannot resume from {folder}: {error}") from error
    model.load_state_dict(weights)
    optimizers.restore(tensors)
    return parts["training"]["losses"]
