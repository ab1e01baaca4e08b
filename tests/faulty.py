"""A user's processor that goes wrong on purpose, in the one way that its options ask for."""

import os
import signal
import time
from pathlib import Path

import hist
import numpy as np
from coffea.processor import ProcessorABC


class Faulty(ProcessorABC):
    """Fills muon momenta; ``fault`` happens in chunks of more than ``above`` events that begin at ``start``."""

    def __init__(self, fault="", start=-1, above=0, once="", seconds=0.0, cut=0.0):
        self.fault, self.start, self.above, self.once = fault, start, above, once
        self.seconds, self.cut = seconds, cut

    def process(self, events):
        time.sleep(self.seconds)
        if self.is_due(events):
            getattr(self, self.fault)(events)
        pt = hist.Hist.new.Reg(20, 0, 100, name="pt").Weight()
        values = np.asarray(events.Muon.pt[:, 0], np.float64)
        pt.fill(values[values > self.cut], weight=np.sqrt(values[values > self.cut]))
        return {"pt": pt, "count": {"events": len(events), "sum": float(values.sum())}}

    def is_due(self, events):
        if not self.fault or self.start not in (-1, events.metadata["entrystart"]) or len(events) <= self.above:
            return False
        if self.once:
            try:
                Path(self.once).touch(exist_ok=False)
            except FileExistsError:
                return False
        return True

    def kill(self, events):
        os.kill(os.getpid(), signal.SIGKILL)

    def sleep(self, events):
        time.sleep(60)

    def fail(self, events):
        raise ZeroDivisionError("a bug")

    def branch(self, events):
        return events.Muon.nonsense

    def reset(self, events):
        raise ConnectionResetError("by peer")

    def allocate(self, events):
        np.ones(len(events) * 20_000_000 // 8)  # 20 MB an event

    def postprocess(self, accumulator):
        return accumulator
