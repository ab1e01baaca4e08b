"""Events of a few columns, and files of correctionlib, whose weights are known."""

from __future__ import annotations

import json
from pathlib import Path

DATA = Path(__file__).parents[4] / "shared/data/analysis"


class Events(dict):
    """Columns by their names, as NanoEvents have them: of one number an event, or records."""

    def __init__(self, metadata=None, **columns):
        super().__init__(columns)
        self.metadata = {"kind": "mc"} | (metadata or {})

    def __len__(self):
        return len(next(iter(self.values())))

    @property
    def fields(self):
        return list(self)

    def __getattr__(self, name):
        return self[name]


def category(name, values):
    items = [{"key": key, "value": value} for key, value in values.items()]
    return {"nodetype": "category", "input": name, "content": items}


def binning(name, edges, content, flow="clamp"):
    return {"nodetype": "binning", "input": name, "edges": edges, "content": content, "flow": flow}


def write(path, **corrections):
    """A file of corrections, each its inputs and its content."""
    content = [
        {
            "name": name,
            "version": 1,
            "inputs": [{"name": key, "type": kind} for key, kind in inputs.items()],
            "output": {"name": "weight", "type": "real"},
            "data": data,
        }
        for name, (inputs, data) in corrections.items()
    ]
    path.write_text(json.dumps({"schema_version": 2, "corrections": content}))
    return path


def pileup_file(path):
    """Weights 1 to 4 in four bins of 10 interactions, up 1 more and down 0.5 less."""
    shifts = {"nominal": 0.0, "up": 1.0, "down": -0.5}
    edges = [0.0, 10.0, 20.0, 30.0, 40.0]
    values = {key: binning("nTrueInt", edges, [1 + s, 2 + s, 3 + s, 4 + s]) for key, s in shifts.items()}
    return write(path, pu=({"nTrueInt": "real", "weights": "string"}, category("weights", values)))


def factor_file(path):
    """Factors 0.8 and 0.9 below and above 30 GeV, for muons from 15 to 100 GeV; up 1 % more, and no down."""
    edges = [15.0, 30.0, 100.0]
    values = {
        "sf": binning("pt", edges, [0.8, 0.9], "error"),
        "sfup": binning("pt", edges, [0.808, 0.909], "error"),
    }
    inputs = {"year": "string", "variation": "string", "pt": "real"}
    return write(path, ID=(inputs, category("year", {"2022": category("variation", values)})), other=({}, 1.0))
