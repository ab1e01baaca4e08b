"""The training loop of all networks: schedule, clipping, validation, checkpoints, resuming, early stopping.

All random numbers come from the seed and the number of the epoch. So a training that was stopped and resumed ends with
the same bits as one that was not. A checkpoint is a safetensors file, which cannot run code.
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, Self

import pandas as pd
import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from ptmiss.errors import FileError, OptionError, TrainingError
from ptmiss.files import write_atomically
from ptmiss.progress import log

CHECKPOINT, LOG = "checkpoint.safetensors", "log.csv"
CYCLES = 4  # of the cyclic schedule

Progress = Callable[[str, int, int], None]


class Settings(BaseModel):
    """Length and speed of a training.

    rate: highest learning rate. schedule: cosine to zero, cyclic (triangles between a third of the rate and the rate),
    or constant. clip: largest norm of the gradient. patience: epochs without a better validation loss after which the
    training stops. choice: the epoch whose parameters are kept, ``best`` (by the validation loss) or ``last``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(12, ge=1)
    rate: float = Field(1.5e-3, gt=0)
    schedule: Literal["cosine", "cyclic", "constant"] = "cosine"
    clip: float = Field(1.0, gt=0)
    patience: int | None = Field(None, ge=1)
    choice: Literal["best", "last"] = "best"
    seed: int = Field(1, ge=0)
    device: Literal["cpu", "cuda"] = "cpu"

    def rate_at(self, step: int, steps: int) -> float:
        """The learning rate of a step."""
        if self.schedule == "cosine":
            return self.rate * 0.5 * (1 + math.cos(math.pi * step / steps))
        if self.schedule == "cyclic":
            phase = (step * CYCLES / steps) % 1
            return self.rate * (1 / 3 + 2 / 3 * (1 - abs(2 * phase - 1)))
        return self.rate

    def optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """The optimizer of a network's parameters."""
        return torch.optim.Adam(network.parameters(), self.rate)

    def autocast(self) -> AbstractContextManager[Any]:
        """The context, which decides the precision, in which a loss is computed."""
        return nullcontext()

    def make_average(self, network: nn.Module) -> Average | None:
        """A network whose parameters are averages over steps, to be validated and kept; None if there is none."""
        return None


class DecoupledSettings(Settings):
    """Settings with AdamW, a warm-up, and averaged parameters.

    decay: decay of the parameters, decoupled from the gradients. warm_up: share of the steps in which the rate rises.
    floor: share of the rate at which the cosine ends. average: share of the average that a step keeps, 0 for no
    average. precision: that of products of matrices, bfloat16 only on cuda.
    """

    decay: float = Field(0.01, ge=0)
    warm_up: float = Field(0.03, ge=0, lt=1)
    floor: float = Field(0.01, ge=0, le=1)
    average: float = Field(0.998, ge=0, lt=1)
    precision: Literal["float32", "bfloat16"] = "float32"

    @model_validator(mode="after")
    def _check_precision(self) -> Self:
        if self.precision == "bfloat16" and self.device != "cuda":
            raise ValueError(f"precision bfloat16 needs device cuda, not {self.device}")
        return self

    def rate_at(self, step: int, steps: int) -> float:
        """The learning rate of a step."""
        rise = min((step + 1) / max(self.warm_up * steps, 1), 1.0)
        return rise * (self.floor * self.rate + (1 - self.floor) * super().rate_at(step, steps))

    def optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """AdamW; vectors (biases, norms) do not decay."""
        matrices = [p for p in network.parameters() if p.ndim > 1]
        vectors = [p for p in network.parameters() if p.ndim <= 1]
        groups = [{"params": matrices, "weight_decay": self.decay}, {"params": vectors, "weight_decay": 0.0}]
        return torch.optim.AdamW(groups, self.rate, betas=(0.9, 0.99), fused=True)

    def autocast(self) -> AbstractContextManager[Any]:
        """Products of matrices in bfloat16, if that is the precision."""
        return torch.autocast(self.device, torch.bfloat16) if self.precision == "bfloat16" else nullcontext()

    def make_average(self, network: nn.Module) -> Average | None:
        """An exponential average of the parameters."""
        return Average(network, self.average) if self.average else None


class Average:
    """A network with the exponential average of another's parameters, in which the first steps count less."""

    def __init__(self, network: nn.Module, decay: float):
        self.network, self.decay = copy.deepcopy(network), decay

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Add the network's parameters after ``step`` steps."""
        share = 1 - min(self.decay, (1 + step) / (10 + step))
        pairs: Iterable[tuple[Tensor, Tensor]] = zip(self.network.parameters(), network.parameters(), strict=True)
        for mine, other in pairs:
            mine.lerp_(other.detach(), share)
        for mine, other in zip(self.network.buffers(), network.buffers(), strict=True):
            mine.copy_(other)


class Batches(Protocol):
    """The batches of all epochs."""

    def __len__(self) -> int:
        """Number of batches in an epoch."""

    def epoch(self, number: int) -> Iterator[Any]:
        """The batches of one epoch, the same in every call."""


@dataclass
class State:
    """The progress of a training."""

    epoch: int = 0
    best: float = math.inf
    best_epoch: int = 0
    log: list[dict[str, float]] = field(default_factory=list)


@dataclass
class Training:
    """One training in a directory.

    loss: loss of a network on a batch. validate: measures numbers of a network for the log, among them ``loss``.
    start: prepares a fresh network before the first epoch. configuration: everything that the result depends on; a
    checkpoint with another one is refused.
    """

    network: nn.Module
    batches: Batches
    loss: Callable[[Any, Any], Tensor]
    validate: Callable[[Any], dict[str, float]]
    settings: Settings
    directory: Path
    configuration: Mapping[str, Any]
    start: Callable[[Any], None] = lambda network: None
    progress: Progress | None = None
    average: Average | None = field(default=None, init=False)

    def run(self) -> pd.DataFrame:
        """Train to the end, from the checkpoint if there is one; returns the log.

        ``network`` has the chosen parameters afterwards.
        """
        check_device(self.settings.device)
        self.network.to(self.settings.device)
        optimizer = self.settings.optimizer(self.network)
        self.average = self.settings.make_average(self.network)
        state, best = self.resume(optimizer)
        if not best:
            self.start(self.network)
            self.average = self.settings.make_average(self.network)
        while state.epoch < self.settings.epochs and not self.is_stuck(state):
            began = time.monotonic()
            train_loss = self.train_epoch(optimizer, state.epoch)
            state.epoch += 1
            row = {"epoch": state.epoch, "train_loss": train_loss, **self.validate(self.judged)}
            self.check(row["loss"], state.epoch - 1, f"the validation loss is {row['loss']} after epoch {state.epoch}")
            log.info("epoch %d: %s", state.epoch, ", ".join(f"{key} {value:.4g}" for key, value in row.items()))
            state.log.append({**row, "seconds": time.monotonic() - began})
            if row["loss"] < state.best:
                state.best, state.best_epoch = row["loss"], state.epoch
            if state.best_epoch == state.epoch or self.settings.choice == "last":
                best = {name: value.clone() for name, value in self.judged.state_dict().items()}
            self.save(optimizer, state, best)
        if best:
            self.network.load_state_dict(best)
        return pd.DataFrame(state.log)

    @property
    def judged(self) -> nn.Module:
        """The network that is validated and kept."""
        return self.average.network if self.average else self.network

    def is_stuck(self, state: State) -> bool:
        """Whether the validation loss has not improved within the patience."""
        patience = self.settings.patience
        return patience is not None and state.epoch - state.best_epoch >= patience

    def train_epoch(self, optimizer: torch.optim.Optimizer, epoch: int) -> float:
        """Train on the batches of one epoch; returns their mean loss. TrainingError if a loss is not finite."""
        n, total = len(self.batches), 0.0
        for i, batch in enumerate(self.batches.epoch(epoch)):
            for group in optimizer.param_groups:
                group["lr"] = self.settings.rate_at(epoch * n + i, self.settings.epochs * n)
            with self.settings.autocast():
                loss = self.loss(self.network, batch)
            value = float(loss.detach())
            self.check(value, epoch, f"the loss is {value} at batch {i + 1} of epoch {epoch + 1}")
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.clip)
            optimizer.step()
            if self.average:
                self.average.update(self.network, epoch * n + i + 1)
            total += value
            if self.progress:
                shown = f"training: loss {total / (i + 1):.4g}"
                self.progress(shown, epoch * n + i + 1, self.settings.epochs * n)
        return total / n

    def check(self, loss: float, finished: int, what: str) -> None:
        """Raise TrainingError if a loss is not finite."""
        if not math.isfinite(loss):
            kept = f"{self.directory / CHECKPOINT} keeps epoch {finished}" if finished else "no epoch was finished"
            raise TrainingError(f"{what}; {kept}")

    def save(self, optimizer: torch.optim.Optimizer, state: State, best: Mapping[str, Tensor]) -> None:
        """Write checkpoint and log; best: parameters by name, each in its own shape."""
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        tensors |= {f"best.{name}": value for name, value in best.items()}
        averages = self.average.network.state_dict() if self.average else {}
        tensors |= {f"average.{name}": value for name, value in averages.items()}
        for index, values in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": value for name, value in values.items()}
        metadata = {"state": json.dumps(vars(state)), "configuration": canonical(self.configuration)}
        contiguous = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        write_atomically(self.directory / CHECKPOINT, save(contiguous, metadata))
        write_atomically(self.directory / LOG, pd.DataFrame(state.log).to_csv(index=False))

    def resume(self, optimizer: torch.optim.Optimizer) -> tuple[State, dict[str, Tensor]]:
        """Load the checkpoint into network and optimizer; returns its state and the best parameters, each in its shape.

        Without a checkpoint both are empty.
        """
        path = self.directory / CHECKPOINT
        if not path.exists():
            return State(), {}
        tensors, metadata = read_checkpoint(path)
        check_configuration(path, json.loads(metadata["configuration"]), json.loads(canonical(self.configuration)))
        parts: dict[str, dict[str, Tensor]] = {"network": {}, "best": {}, "optimizer": {}, "average": {}}
        for name, value in tensors.items():
            part, key = name.split(".", 1)
            parts[part][key] = value
        self.network.load_state_dict(parts["network"])
        if self.average:
            self.average.network.load_state_dict(parts["average"])
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in parts["optimizer"].items():
            index, name = key.split(".")
            moments.setdefault(int(index), {})[name] = value
        optimizer.load_state_dict(optimizer.state_dict() | {"state": moments})
        return State(**json.loads(metadata["state"])), parts["best"]


def check_device(device: str) -> None:
    """Raise OptionError if the device does not exist."""
    if device == "cuda" and not torch.cuda.is_available():
        raise OptionError(
            "--device cuda: this machine has no CUDA device, or torch was built without CUDA; --device cpu works"
        )


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors, in their shapes, and metadata of a checkpoint."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = {name: (file.metadata() or {})[name] for name in ("state", "configuration")}
            return {name: file.get_tensor(name) for name in file.keys()}, metadata  # noqa: SIM118
    except (SafetensorError, OSError, KeyError) as error:
        raise FileError(f"{path} is not a readable checkpoint ({error}); remove it to begin again") from error


def check_configuration(path: Path, kept: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Raise OptionError if a checkpoint has another configuration."""
    odd = [key for key in sorted({*kept, *wanted}) if kept.get(key) != wanted.get(key)]
    if odd:
        listed = "; ".join(f"{key} {kept.get(key)} there, {wanted.get(key)} here" for key in odd)
        raise OptionError(
            f"{path} is of another training: {listed}; choose another directory, or --force to begin again"
        )


def canonical(configuration: Mapping[str, Any]) -> str:
    """A configuration as JSON with sorted keys: equal ones give equal text."""
    return json.dumps(configuration, sort_keys=True)
