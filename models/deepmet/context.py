"""Features of a candidate's surroundings, beside its own. The published network does not have them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from ptmiss.candidates import CATEGORIES, VOCABULARY
from ptmiss.models.deepmet.dataset import Batch
from ptmiss.networks.features import NEIGHBOURS
from ptmiss.networks.inputs import Inputs
from ptmiss.segments import from_counts

PT, PUPPI = 4, 5
MOMENTUM = slice(6, 8)
SIZES = {"none": 0, "sums": 5, "recoil": 7, "neighbours": len(NEIGHBOURS)}


class Context(nn.Module):
    """Features of the surroundings, and their rows of the first layer's kernel, which begin at zero.

    * ``sums``: candidates / 1000, and log(1 + Σ pt / 50 GeV) of charged candidates of the vertex, charged ones of
      pile-up, neutrals, and neutrals with their PUPPI weights
    * ``recoil``: these, log(1 + u / 50 GeV) of the charged recoil of the vertex, and the cosine of the angle between it
      and the candidate
    * ``neighbours``: sums around the candidate, as inference has them (ptmiss.networks.neighbours)
    """

    kernel: Tensor
    classes: Tensor

    def __init__(self, kind: str, width: int):
        super().__init__()
        self.kind = kind
        kernel = torch.zeros(SIZES[kind], width)
        if len(kernel):
            self.kernel = nn.Parameter(kernel)
        else:
            self.register_buffer("kernel", kernel, persistent=False)
        self.register_buffer("classes", classes(), persistent=False)

    def forward(self, batch: Batch) -> Tensor:
        """(candidates, SIZES[kind]) features."""
        if self.kind == "none":
            return batch.features[:, :0]
        if self.kind == "neighbours":
            return neighbours(batch)
        member = self.classes[batch.categories]
        pt, puppi, momentum = (
            batch.features[:, PT : PT + 1],
            batch.features[:, PUPPI : PUPPI + 1],
            batch.features[:, MOMENTUM],
        )
        parts = [torch.ones_like(pt), member * pt, member[:, 2:] * puppi * pt, member[:, :1] * momentum]
        count, *others = batch.sum_by_event(torch.cat(parts, dim=1)).split([1, 4, 2], dim=1)
        sums, recoil = others
        columns = torch.cat([count / 1000, sums.log1p()], dim=1)
        if self.kind == "sums":
            return columns[batch.event]
        size = recoil.norm(dim=1, keepdim=True)
        along = (momentum * (recoil / size.clamp(min=1e-6))[batch.event]).sum(dim=1, keepdim=True)
        cosine = along / momentum.norm(dim=1, keepdim=True).clamp(min=1e-6)
        return torch.cat([torch.cat([columns, size.log1p()], dim=1)[batch.event], cosine], dim=1)


def neighbours(batch: Batch) -> Tensor:
    """(candidates, 6) sums around each candidate."""
    features, rows, event = (v.cpu().numpy() for v in (batch.features, batch.categories, batch.event))
    offsets = from_counts(np.bincount(event, minlength=len(batch.target)))
    sums = Inputs(features, rows.astype(np.uint8), offsets).neighbours
    return torch.from_numpy(sums).to(batch.features.device)


def classes() -> Tensor:
    """(rows of the category table, 3) one-hot: charged of the vertex (fromPV 2 or 3), other charged, neutral."""
    charge, _, from_pv = (v.ravel() for v in np.meshgrid(*(VOCABULARY[c] for c in CATEGORIES), indexing="ij"))
    members = [(charge != 0) & (from_pv >= 2), (charge != 0) & (from_pv < 2), charge == 0]
    return torch.from_numpy(np.stack(members, axis=1).astype(np.float32))
