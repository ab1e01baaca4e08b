"""What the recipe of each kind of network has in common: how a training is put together from its parts."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from ptmiss.files import AnyPath, as_path

from .training import Batches, Progress, Settings, Training


class Task(Settings):
    """Settings, and the network, batches, loss and validation that they are for.

    The events are those that the subclass reads; only its own methods look into them.
    """

    def train(
        self, training: Any, validation: Any, directory: AnyPath, sources: Any, progress: Progress | None = None
    ) -> tuple[Any, Training]:
        """A network and its training in a directory; ``Training.run`` trains it, from the checkpoint if there is one.

        training, validation: events; sources: what they are, for the checkpoint.
        """
        torch.manual_seed(self.seed)
        network = self.build_network(training)
        batches = self.draw_batches(training, network)
        run = Training(
            network,
            batches,
            loss=self.batch_loss,
            validate=self.validation(validation),
            settings=self,
            directory=as_path(directory),
            configuration=self.describe(sources),
            start=lambda net: self.begin(net, training, batches, progress),
            progress=progress,
        )
        return network, run

    @abstractmethod
    def build_network(self, training: Any) -> Any:
        """A fresh network for events."""

    @abstractmethod
    def draw_batches(self, training: Any, network: Any) -> Batches:
        """The batches of all epochs."""

    @abstractmethod
    def batch_loss(self, network: Any, batch: Any) -> Tensor:
        """The loss of a network on a batch, a scalar."""

    @abstractmethod
    def validation(self, events: Any) -> Any:
        """A function that measures a network on events: numbers by name, among them ``loss``."""

    def begin(self, network: Any, training: Any, batches: Any, progress: Progress | None) -> None:
        """Prepare a fresh network before the first epoch."""

    def settings(self) -> dict[str, Any]:
        """All settings by name, with the values that they have."""
        return self.model_dump()

    def describe(self, sources: Any) -> dict[str, Any]:
        """Everything that the training depends on."""
        return {**self.model_dump(mode="json"), "events": sources}
