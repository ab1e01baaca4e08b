"""What a correction of momenta gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ptmiss.typing import Array


@dataclass(frozen=True)
class Momenta:
    """pT of leptons, (leptons,) in GeV, and with each variation: ``scale_up``, ``resolution_down`` and so on."""

    nominal: Array
    varied: Mapping[str, Array] = field(default_factory=dict)
