import pytest
import uproot
from coffea.processor import Runner
from coffea.processor.executor import IterativeExecutor

from ptmiss.errors import ChunkError, ColumnError, FileError
from ptmiss.events import EventSchema
from ptmiss.runs.failures import Failure, Kind, Policy, failure_of, root_cause

from ..invented import write_events


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (MemoryError(), Kind.MEMORY),
        (TimeoutError("slow"), Kind.IO),
        (ConnectionResetError("by peer"), Kind.IO),
        (FileError("truncated"), Kind.FILE),
        (ColumnError("no x"), Kind.USER),
        (ValueError("of a processor"), Kind.USER),
        (OSError("of a processor"), Kind.USER),
        (ModuleNotFoundError("lz4"), Kind.USER),
    ],
)
def test_whose_fault_it_is(error, kind):
    assert failure_of(error).kind is kind


def test_the_first_error_of_a_chain_counts():
    second = RuntimeError("second")
    second.__cause__ = MemoryError("first")
    assert root_cause(second).args == ("first",)
    failure = failure_of(second)
    assert (failure.kind, failure.message) == (Kind.MEMORY, "MemoryError: first")
    assert "second" in failure.traceback


def test_an_error_without_words():
    assert failure_of(KeyError()).message == "KeyError: no message"


def run(path, process):
    """The failure of a processor in coffea's hands."""
    runner = Runner(IterativeExecutor(status=False), schema=EventSchema)
    with pytest.raises(Exception, match="Failed processing file") as error:
        runner({"z": [str(path)]}, process, treename="Events")
    return failure_of(error.value)


@pytest.fixture
def path(tmp_path):
    write_events(tmp_path / "a.root", 5)
    return tmp_path / "a.root"


@pytest.fixture
def corrupt(path):
    with uproot.open(path) as file:
        branch = file["Events"]["Muon_pt"]
        seek, length = int(branch.member("fBasketSeek")[0]), int(branch.member("fBasketBytes")[0])
    content = bytearray(path.read_bytes())
    content[seek : seek + length] = bytes(length)
    path.write_bytes(content)
    return path


@pytest.mark.filterwarnings("ignore:Performed attempt")
def test_a_reader_that_coffea_calls_blames_the_file(corrupt):
    assert run(corrupt, lambda events: {"n": float(events.Muon.pt[0][0])}).kind is Kind.FILE


@pytest.mark.filterwarnings("ignore:Performed attempt")
def test_a_reader_that_a_processor_calls_blames_the_user(path):
    def opens_another(events):
        return {"n": uproot.open(path.with_name("none.root"))}

    failure = run(path, opens_another)
    assert failure.kind is Kind.USER
    assert failure.message.startswith("FileNotFoundError: ")
    assert run(path, lambda events: {"n": events.Muon.nonsense}).kind is Kind.USER


def test_what_is_tolerated():
    for kind in Kind:
        assert not Policy().tolerates(Failure(kind, ""))
        assert Policy(skip=True).tolerates(Failure(kind, "")) == (kind is not Kind.USER)
    assert issubclass(ChunkError, Exception)
