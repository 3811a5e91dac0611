"""Several processes that train one model together: who they are, and means over all of them.

Each process takes its share of every batch, gradients are averaged, and so all make the same step. `torchrun` and
`accelerate launch` start such processes and tell them in the environment (RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT).
With one process everything in here does nothing.
"""

import os
from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor, nn


def join(device: torch.device | str = "cpu") -> tuple[int, int]:
    """Meet the other processes if the environment names any; (rank r, number of processes R).

    On GPUs each process takes the one of its own local rank.

    Example:
        >>> join()
        (0, 1)
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        on_gpu = torch.device(device).type == "cuda"
        if on_gpu:
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        dist.init_process_group("nccl" if on_gpu else "gloo")
    return rank_and_count()


def rank_and_count() -> tuple[int, int]:
    """(r, R), which is (0, 1) where there is one process."""
    together = dist.is_available() and dist.is_initialized()
    return (dist.get_rank(), dist.get_world_size()) if together else (0, 1)


def leave() -> None:
    """Part from the others."""
    if rank_and_count()[1] > 1:
        dist.destroy_process_group()


def mean_of(value: float, device: torch.device) -> float:
    """The mean of a number over all processes."""
    count = rank_and_count()[1]
    if count == 1:
        return value
    total = torch.tensor(value, dtype=torch.float64, device=device)
    dist.all_reduce(total)
    return total.item() / count


def same_weights(model: nn.Module) -> None:
    """Give every process the weights and buffers of the first."""
    if rank_and_count()[1] > 1:
        for tensor in model.state_dict().values():
            dist.broadcast(tensor, src=0)


@torch.no_grad()
def average_gradients(weights: Iterable[Tensor]) -> None:
    """Put the mean over all processes in the place of each gradient.

    Raises:
        ValueError: for tables with sparse gradients, of which each process has read other rows.
    """
    count = rank_and_count()[1]
    if count == 1:
        return
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    if any(gradient.is_sparse for gradient in gradients):
        raise ValueError(
            f"{count} processes cannot train a model with sparse tables together; "
            "expected a model without them, or one process"
        )
    flat = torch.cat([gradient.flatten() for gradient in gradients])  # one message instead of hundreds
    dist.all_reduce(flat)
    flat /= count
    for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))
