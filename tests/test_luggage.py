import pickle
from pathlib import Path

from ptmiss import luggage
from ptmiss.estimators import Network
from ptmiss.networks.registry import load_model


def test_a_file_stays_where_it_is_seen(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"1234")
    assert luggage.unpacked(*luggage.packed(str(path))) == str(path)


def test_a_file_arrives_where_it_is_not_seen_or_is_another(tmp_path):
    path = tmp_path / "b.bin"
    path.write_bytes(b"one")
    packed = luggage.packed(str(path))
    path.write_bytes(b"other")
    arrived = luggage.unpacked(*packed)
    assert arrived != str(path)
    assert Path(arrived).read_bytes() == b"one"
    assert luggage.unpacked(*packed) == arrived


def test_a_network_brings_its_weights_along(weights, model):
    travelling = pickle.dumps(Network("net", str(weights)))
    weights.unlink()
    arrived = pickle.loads(travelling)
    assert arrived.name == "net"
    assert load_model(arrived.weights).tensors.keys() == model.tensors.keys()
