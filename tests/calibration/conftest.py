import pytest

from ptmiss import corrections
from ptmiss.calibration import derivation, export, sources

from . import toys

EVENTS, TOP, MINIMUM = 16_000, 400, 6000


@pytest.fixture(scope="session")
def tables(tmp_path_factory):
    """Toy tables of data with top pairs, simulation and top pairs."""
    return toys.write_all(tmp_path_factory.mktemp("tables"), EVENTS, top=TOP)


@pytest.fixture(scope="session")
def calibration(tables):
    """The calibration of the toy tables."""
    data = sources.read(str(tables["data"]))
    background = sources.background(f"{tables['top']}={1 / 3}", data)
    return derivation.derive(data, sources.read(str(tables["mc"])), [background], ["puppi"], minimum=MINIMUM)


@pytest.fixture(scope="session")
def correction_file(calibration, tmp_path_factory):
    """Its correction file."""
    path = tmp_path_factory.mktemp("corrections") / "corrections.json.gz"
    path.write_bytes(export.compressed(export.correction_set(calibration)))
    return path


@pytest.fixture(scope="session")
def applied(correction_file):
    """Its corrections."""
    return corrections.load(correction_file)
