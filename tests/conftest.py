from __future__ import annotations

import fcntl
import io
import os
from functools import partial, wraps
from pathlib import Path

import pytest
from hypothesis import settings
from matplotlib.figure import Figure
from numba.core import caching

from ptmiss import corrections
from ptmiss.calibration import calibrate, export, sources
from ptmiss.networks.deepmet import DeepMET
from ptmiss.networks.registry import save_model

from .calibration import toys
from .helpers import random_model
from .invented import write_events

SHARED = Path(__file__).parents[2] / "shared" / "data"

settings.register_profile("ptmiss", deadline=None, derandomize=True)
settings.load_profile("ptmiss")

# dask reads it when it is imported, here and in its workers: how long they look for each other on a busy machine
os.environ["PTMISS_CACHE"] = ""  # tests leave nothing in the user's cache
os.environ.setdefault("DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT", "600s")


def one_at_a_time(save):
    """numba numbers the files of its cache without a lock, and two processes of tests may take the same number."""

    @wraps(save)
    def locked(cache, key, data):
        with Path(f"{cache._index_path}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            save(cache, key, data)

    return locked


caching.IndexDataCacheFile.save = one_at_a_time(caching.IndexDataCacheFile.save)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with real CMS files and TensorFlow references, beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip(f"no {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def pfnano(shared) -> Path:
    return shared / "pfnano_qcd_10events.root"


@pytest.fixture(scope="session")
def drell_yan(shared) -> Path:
    return shared / "nano_dy_40events.root"


@pytest.fixture(scope="session")
def nano_v15(shared) -> Path:
    return shared / "nano_tt_v15_200events.root"


@pytest.fixture(scope="session")
def invented(tmp_path_factory) -> Path:
    """A file of 300 invented events."""
    path = tmp_path_factory.mktemp("events") / "invented.root"
    write_events(path, 300, seed=3)
    return path


@pytest.fixture
def model() -> DeepMET:
    return random_model()


@pytest.fixture
def weights(tmp_path, model) -> Path:
    """Weights file of a random model."""
    path = tmp_path / "random.safetensors"
    save_model(model, path, "random numbers")
    return path


@pytest.fixture
def nothing_shipped(monkeypatch, tmp_path):
    """A package with no models; the folder that they would be in."""
    monkeypatch.setattr("ptmiss.networks.registry._directory", lambda: tmp_path / "shipped")
    return tmp_path / "shipped"


@pytest.fixture
def empty_pictures(monkeypatch):
    """Figures are saved as empty pictures, since to save one takes most of its time."""
    empty = "<svg xmlns='http://www.w3.org/2000/svg'/>"

    def savefig(figure, target, **options):
        write = target.write if isinstance(target, io.StringIO) else Path(target).write_text
        write(empty)

    monkeypatch.setattr(Figure, "savefig", savefig)


@pytest.fixture(scope="session")
def simulation_cache(tmp_path_factory) -> Path:
    """Where all productions of the tests keep start files and pile-up libraries, which take seconds to make."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def small_library(monkeypatch, simulation_cache):
    """Productions with a small pile-up library of their own."""
    pytest.importorskip("pythia8mc")
    from ptmiss.simulation import production

    monkeypatch.setenv("XDG_CACHE_HOME", str(simulation_cache))
    monkeypatch.setattr(production, "pileup_library", partial(production.pileup_library, size=200))


@pytest.fixture(scope="session")
def tables(tmp_path_factory) -> dict[str, Path]:
    """Toy recoil tables of ``data`` with top pairs, simulation (``mc``) and top pairs (``top``)."""
    return toys.write_all(tmp_path_factory.mktemp("tables"), 16_000, top=400)


@pytest.fixture(scope="session")
def calibration(tables):
    """The calibration of the toy tables, in few cells."""
    data = sources.read(str(tables["data"]))
    background = sources.background(f"{tables['top']}={1 / 3}", data)
    return calibrate.derive(data, sources.read(str(tables["mc"])), [background], ["puppi"], minimum=1000)


@pytest.fixture(scope="session")
def correction_file(calibration, tmp_path_factory) -> Path:
    """Its correction file."""
    path = tmp_path_factory.mktemp("corrections") / "corrections.json.gz"
    path.write_bytes(export.compress(export.correction_set(calibration)))
    return path


@pytest.fixture(scope="session")
def applied(correction_file) -> corrections.Corrections:
    """Its corrections."""
    return corrections.load(correction_file)
