"""Chance, dealt anew to every step, so that it depends on the step's number and on nothing that happened before."""

import random
from hashlib import blake2b

import numpy as np
import torch


def sow(seed: int, step: int, rank: int, device: torch.device) -> None:
    """Seeds python, numpy and torch for one step of one process.

    A run that is resumed at a step therefore drops out what an uninterrupted run drops out there, on any number of
    processes, whatever a validation in between drew; no generator's state has to be stored.

    Args:
        seed: The run's seed.
        step: Steps done so far.
        rank: Number of the process; each draws its own.
        device: Where it computes.
    """
    number = int.from_bytes(blake2b(f"{seed} {step} {rank}".encode(), digest_size=8).digest(), "big")
    random.seed(number)
    np.random.seed(number & 0xFFFF_FFFF)
    # Not torch.manual_seed: for a device that is not in use it spends a millisecond on a note that it keeps for ever.
    torch.default_generator.manual_seed(number)
    if device.type != "cpu":
        torch.get_device_module(device).manual_seed(number)
