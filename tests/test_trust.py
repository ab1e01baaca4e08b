"""Nothing that is loaded runs code: a pickle in the place of each kind of file is refused in one line."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import safetensors.numpy

from ptmiss import events, results, table
from ptmiss.errors import PtmissError
from ptmiss.networks.registry import load_model
from ptmiss.runs import directory as run_directory
from ptmiss.runs import fileset, ledger, queues
from ptmiss.simulation import pileup

from .malice import PICKLE, Evil

LOADERS = {
    "model": (load_model, "model.safetensors"),
    "sample": (lambda path: events.inspect(str(path)), "sample.root"),
    "sample in parquet": (lambda path: events.inspect(str(path)), "sample.parquet"),
    "recoil table": (table.read, "table.parquet"),
    "manifest": (lambda path: results.load(path.parent), "manifest.json"),
    "plan": (lambda path: run_directory.status(path.parent), "plan.json"),
    "ledger": (ledger.read, "ledger.json"),
    "fileset": (fileset.read, "fileset.json"),
    "job queue": (queues.read, "queue.toml"),
    "pile-up library": (pileup.load, "library.npz"),
}


@pytest.mark.parametrize("kind", LOADERS)
def test_a_pickle_is_not_loaded(kind, tmp_path):
    load, name = LOADERS[kind]
    (tmp_path / name).write_bytes(PICKLE)
    with pytest.raises(PtmissError) as error:
        load(tmp_path / name)
    assert "\n" not in str(error.value)


def test_a_pickle_in_the_metadata_of_a_table_is_not_loaded(tmp_path):
    columns = {name: np.zeros(2, kind) for name, kind in table.EVENT_COLUMNS.items()}
    rows = table.rows(columns).replace_schema_metadata({b"ptmiss": PICKLE, b"pandas": PICKLE})
    pa.parquet.write_table(rows, tmp_path / "t.parquet")
    with pytest.raises(PtmissError, match="does not say how it was made"):
        table.read(tmp_path / "t.parquet")


def test_a_pickle_in_the_metadata_of_a_model_is_not_loaded(weights):
    tensors = load_model(str(weights)).tensors
    metadata = {"architecture": "deepmet", "sha256": "0", "features": PICKLE.decode("latin1")}
    safetensors.numpy.save_file(dict(tensors), weights, metadata)
    with pytest.raises(PtmissError, match="SHA-256"):
        load_model(str(weights))


def test_an_array_of_objects_in_a_pileup_library_is_not_loaded(tmp_path):
    objects = io.BytesIO()
    np.save(objects, np.array([Evil()], object), allow_pickle=True)
    with zipfile.ZipFile(tmp_path / "library.npz", "w") as archive:
        for name in ("offsets", *pileup.Particles._fields):
            archive.writestr(f"{name}.npy", objects.getvalue())
    with pytest.raises(PtmissError, match="is not a particle library"):
        pileup.load(tmp_path / "library.npz")


def test_nothing_of_ours_reads_pickles():
    """cloudpickle is for what goes to our own workers; nothing else may even be imported."""
    root = Path(__file__).parents[1]
    for folder in ("src", "processors", "models"):
        for path in (root / folder).rglob("*.py"):
            text = path.read_text()
            assert "import pickle" not in text, path
            assert "pickle.load" not in text, path
            assert "allow_pickle=True" not in text, path


def test_the_pickle_is_one(tmp_path):
    import pickle

    with pytest.raises(SystemExit, match="code was run"):
        pickle.loads(PICKLE)
    assert json.dumps(PICKLE.decode("latin1"))
