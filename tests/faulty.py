"""A user's processor that goes wrong on purpose, in the one way that its options ask for."""

import os
import signal
import time
from pathlib import Path

import hist
import numpy as np
from coffea.processor import ProcessorABC

HOURS = 7200  # s: longer than any test waits


class Faulty(ProcessorABC):
    """Fills muon momenta; ``fault`` happens in chunks of more than ``above`` events that begin at ``start``."""

    def __init__(self, fault="", start=-1, above=0, once="", cut=0.0):
        self.fault, self.start, self.above, self.once = fault, start, above, once
        self.cut = cut

    def process(self, events):
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
                Path(self.once).mkdir()  # no file, whose content would be a parameter of the run
            except FileExistsError:
                return False
        return True

    def kill(self, events):
        os.kill(os.getpid(), signal.SIGKILL)

    def hang(self, events):
        time.sleep(HOURS)

    def overrun(self, events):
        """Hangs, and the alarm that limits a chunk's time, which has to be set, rings early."""
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 0
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        time.sleep(HOURS)

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
