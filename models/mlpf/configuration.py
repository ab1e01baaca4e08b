"""Configurations of networks, and presets by name. The network that comes with the package is ``compact``."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ptmiss.errors import UnknownName


class Configuration(BaseModel):
    """The configuration of a network, which its weights file contains.

    window: elements of a window, or of a bin. attention: in windows, or over whole events. angles: whether directions
    are predicted, or those of the elements. Published networks ignore the values that they fix.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: Literal["transformer", "graph", "published-2021", "published-v2.2.0"] = "transformer"
    inputs: Literal["compact", "gsf", "cms", "clic"] = "compact"
    width: int = Field(default=64, ge=8)
    layers: int = Field(default=3, ge=1)
    heads: int = Field(default=4, ge=1)
    hidden: int = Field(default=128, ge=1)
    window: int = Field(default=128, ge=2)
    attention: Literal["window", "exact"] = "window"
    angles: bool = False

    @model_validator(mode="after")
    def heads_fit(self) -> Self:
        """Check that the heads divide the width, and that each has room for the distance."""
        if self.network == "transformer" and (self.width % self.heads or self.width // self.heads < 8):
            raise ValueError(f"width {self.width} cannot be divided into {self.heads} heads of at least 8")
        return self


ELECTRON_COLLIDERS = Configuration(inputs="clic", attention="exact")
"""Their events have about a hundred elements, which can all see each other."""

PRESETS = {
    "compact": Configuration(),
    "exact": Configuration(attention="exact"),
    "lsh": Configuration(network="graph", window=64),
    "gnn-lsh-2021": Configuration(network="published-2021", inputs="cms", window=64, angles=True),
    "cms-v220": Configuration(network="published-v2.2.0", inputs="cms", width=256, heads=16, angles=True),
    "clic": ELECTRON_COLLIDERS,
    "cld": ELECTRON_COLLIDERS,
}


def preset(name: str) -> Configuration:
    """A configuration by its name."""
    if name not in PRESETS:
        raise UnknownName("preset", name, PRESETS)
    return PRESETS[name]
