"""Networks on a server: the same numbers as here, and every way in which a server can fail."""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import ptmiss
from ptmiss import sample
from ptmiss.errors import ChunkError, OptionError
from ptmiss.estimators import make_estimators, remote, servers
from ptmiss.models import serving
from ptmiss.networks.registry import load_model, save_model
from ptmiss.runs.failures import Kind, failure_of

from ..helpers import call, failure, random_model

pytest.importorskip("tritonclient.grpc", reason="the extra triton")
pytest.importorskip("onnxruntime", reason="the extra onnx")
ZMUMU = str(sample.events("zmumu"))


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """deepmet in both layouts, and a random network with 4500 slots in CMS's."""
    place = tmp_path_factory.mktemp("served") / "repository"
    call("models", "serve-layout", "deepmet", "--output", place / "packed")
    serving.write(load_model("deepmet"), place / "cms", "cms-4500")
    serving.write(random_model(padding=4500), place / "random", "cms-4500")
    return place


@pytest.fixture
def served(repository, monkeypatch):
    """A server of all of them."""
    from ..serving import Server

    monkeypatch.setattr(servers, "PAUSE", 0.001)
    merged = repository / "all"
    merged.mkdir(exist_ok=True)
    for path in repository.glob("*/*/config.pbtxt"):
        if not (merged / path.parent.name).exists():
            (merged / path.parent.name).symlink_to(path.parent)
    server = Server(merged)
    yield server
    server.stop()


def url(server, model="deepmet"):
    return f"triton+grpc://127.0.0.1:{server.port}/{model}/1"


def skimmed(estimator, tmp_path, name="t", **how):
    read = ptmiss.skim(ZMUMU, tmp_path / f"{name}.parquet", [estimator], force=True, **how)
    return read.met(estimator.name)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["deepmet", "deepmet_4500"])
def test_the_same_numbers_as_here(served, model, tmp_path):
    there = skimmed(make_estimators(["remote.net"], {"remote.net": url(served, model)})[0], tmp_path)
    here = skimmed(make_estimators("deepmet")[0], tmp_path, "here")
    np.testing.assert_allclose(there, here, atol=2e-3)
    assert served.asked > (60 if model == "deepmet" else 2)


@pytest.mark.slow
def test_the_slots_of_cms_count_in_a_model_with_padding(served, tmp_path):
    there = skimmed(make_estimators(["remote.net"], {"remote.net": url(served, "random_4500")})[0], tmp_path)
    save_model(random_model(padding=4500), tmp_path / "net.safetensors", "random")
    here = skimmed(make_estimators(["net"], {"net": tmp_path / "net.safetensors"})[0], tmp_path, "here")
    np.testing.assert_allclose(there, here, rtol=1e-5, atol=5e-3)


def test_a_server_that_is_away_for_a_moment(served, tmp_path):
    served.failures = 3
    there = make_estimators(["remote.net"], {"remote.net": url(served, "deepmet_4500")})[0]
    assert np.isfinite(skimmed(there, tmp_path)).all()


def test_a_server_that_stays_away_is_a_failure_of_reading(served, tmp_path):
    served.stop()
    there = make_estimators(["remote.net"], {"remote.net": url(served)})[0]
    with pytest.raises(ConnectionError, match="does not answer") as raised:
        _ = there.server.slots
    assert failure_of(raised.value).kind is Kind.IO
    with pytest.raises(ChunkError, match="does not answer"):
        skimmed(there, tmp_path, retries=0)


@pytest.mark.slow
def test_a_server_that_starts_again_in_the_middle_of_a_run(served, repository, tmp_path, monkeypatch):
    from ..serving import Server

    monkeypatch.setattr(servers, "PAUSE", 0.2)
    there = make_estimators(["remote.net"], {"remote.net": url(served, "deepmet_4500")})[0]
    before, port = skimmed(there, tmp_path), served.port
    served.stop()
    again = []
    timer = threading.Timer(0.5, lambda: again.append(Server(repository / "all", port)))
    timer.start()
    np.testing.assert_array_equal(skimmed(there, tmp_path, "again"), before)
    timer.join()
    again[0].stop()


def test_a_slow_server(served, monkeypatch):
    monkeypatch.setattr(servers, "TIMEOUT", 0.05)
    monkeypatch.setattr(servers, "RETRIES", 1)
    served.delay = 0.5
    server = remote.connect(url(served))
    with pytest.raises(ConnectionError, match="does not answer: Deadline Exceeded"):
        server.run_infer([], [])


def test_a_token(served, monkeypatch):
    served.token = "secret"
    with pytest.raises(OptionError, match="no token, or another"):
        _ = remote.connect(url(served)).slots
    monkeypatch.setenv(servers.TOKEN, "secret")
    assert remote.connect(url(served, "deepmet_4500")).slots == 4500


def test_what_is_wrong_with_a_server(served, tmp_path):
    asked = ["skim", ZMUMU, "--estimators", "remote.net", "--output", tmp_path / "t.parquet", "--retries", 0]
    assert "unknown model: 'nothing'" in failure(*asked, "--weights", f"remote.net={url(served, 'nothing')}")
    assert "expected triton+grpc://host:port/model/version" in failure(*asked, "--weights", "remote.net=http://x/y")
    assert "needs the address of a server" in failure(*asked)


def test_tls_is_off_for_this_machine_alone(monkeypatch):
    here, there = "triton+grpc://localhost:1/a/1", "triton+grpc://somewhere.org:1/a/1"
    assert (servers.encrypted(here), servers.encrypted(there)) == (False, True)
    assert servers.encrypted("triton+grpc://127.evil.org:1/a/1")
    monkeypatch.setenv(servers.TLS, "off")
    assert not servers.encrypted(there)
    monkeypatch.setenv(servers.TOKEN, "secret")
    with pytest.raises(OptionError, match="is not sent to another machine without TLS"):
        servers.headers(there)
    monkeypatch.setenv(servers.TLS, "maybe")
    with pytest.raises(OptionError, match="expected on or off"):
        servers.encrypted(here)


@pytest.fixture
def certificate(tmp_path):
    """Key and certificate of 127.0.0.1, signed by itself, as paths."""
    if (openssl := shutil.which("openssl")) is None:
        pytest.skip("openssl makes the certificate")
    key, chain = tmp_path / "key.pem", tmp_path / "chain.pem"
    make = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(chain)]
    subprocess.run([openssl, *make, *names], check=True, capture_output=True)
    return key, chain


@pytest.mark.slow
def test_a_server_with_tls(served, repository, certificate, tmp_path):
    """In processes of their own: gRPC reads the certificates that it trusts once."""
    from ..serving import Server

    key, chain = certificate
    secure = Server(repository / "all", token="secret", certificate=(key.read_bytes(), chain.read_bytes()))
    address = f"remote.net={url(secure, 'deepmet_4500')}"
    asked = ["skim", ZMUMU, "--estimators", "remote.net,deepmet", "--weights", address, "--retries", "0"]
    trusted = {"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": str(chain), servers.TLS: "on", servers.TOKEN: "secret"}

    def skim(name, environment):
        command = [sys.executable, "-m", "ptmiss", *asked, "--output", str(tmp_path / name)]
        return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)

    done = skim("t.parquet", trusted)
    assert done.returncode == 0, done.stderr
    frame = pd.read_parquet(tmp_path / "t.parquet")
    np.testing.assert_allclose(frame["met_remote.net_pt"], frame["met_deepmet_pt"], atol=5e-3)
    stranger = skim("no.parquet", trusted | {"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": ""})
    assert stranger.returncode == 1
    assert "does not answer" in stranger.stderr
    secure.stop()


def test_the_description_for_triton(repository):
    text = (repository / "cms" / "deepmet_4500" / "config.pbtxt").read_text()
    assert 'name: "input" data_type: TYPE_FP32 dims: [ 4500, 8 ]' in text
    assert 'name: "output/BiasAdd" data_type: TYPE_FP32 dims: [ 2 ]' in text
    assert "max_batch_size: 100" in text
    packed = (repository / "packed" / "deepmet" / "config.pbtxt").read_text()
    assert 'name: "categories" data_type: TYPE_INT64 dims: [ -1, 3 ]' in packed
    assert "max_batch_size: 0" in packed


def test_layouts_that_are_not_for_a_network(tmp_path):
    assert "unknown layout 'rows'" in failure("models", "serve-layout", "deepmet", "--layout", "rows", "-o", tmp_path)
    assert "has no layout of CMS" in failure("models", "serve-layout", "linear", "--layout", "cms-4500", "-o", tmp_path)
    with pytest.raises(OptionError, match="has 12500 slots: take the layout cms-12500"):
        serving.write(random_model(padding=12500), tmp_path / "x", "cms-4500")


def python_with(variable, what):
    """The Python that an environment variable names; the test is skipped if there is none."""
    python = os.environ.get(variable)
    if not python:
        pytest.skip(f"{variable} names no Python with {what}")
    return python


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.mark.slow
def test_the_same_numbers_from_triton_itself(repository, tmp_path):
    python, port = python_with("PTMISS_PYTRITON", "nvidia-pytriton and onnxruntime"), free_port()
    script = Path(__file__).parents[1] / "pytriton_server.py"
    command = [python, str(script), str(repository / "packed" / "deepmet" / "1" / "model.onnx"), str(port)]
    check_numbers(command, port, tmp_path)


@pytest.mark.slow
def test_the_same_numbers_from_mlserver(repository, tmp_path):
    python, port = python_with("PTMISS_MLSERVER", "mlserver and onnxruntime"), free_port()
    shutil.copy(Path(__file__).parents[1] / "mlserver_model.py", tmp_path)
    graph = str(repository / "packed" / "deepmet" / "1" / "model.onnx")
    model = {
        "name": "deepmet",
        "implementation": "mlserver_model.Graph",
        "parameters": {"version": "1", "uri": graph},
        "inputs": [
            {"name": "features", "datatype": "FP32", "shape": [-1, 8]},
            {"name": "categories", "datatype": "INT64", "shape": [-1, 3]},
        ],
        "outputs": [{"name": "met", "datatype": "FP64", "shape": [2]}],
    }
    other = {name: free_port() for name in ("http_port", "metrics_port")}
    settings = {"host": "127.0.0.1", "grpc_port": port, **other, "parallel_workers": 0}
    (tmp_path / "model-settings.json").write_text(json.dumps(model))
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    check_numbers([python, "-m", "mlserver.cli.main", "start", str(tmp_path)], port, tmp_path)


def check_numbers(command, port, tmp_path):
    """pTmiss of a server that a command starts is that of the network here."""
    with (tmp_path / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as server:
        there = make_estimators(["remote.net"], {"remote.net": f"triton+grpc://127.0.0.1:{port}/deepmet/1"})[0]
        while server.poll() is None:  # Triton says nothing of a model that it still loads
            with suppress(ConnectionError, OptionError):
                _ = there.server.slots
                break
        assert server.poll() is None, (tmp_path / "log").read_text()
        try:
            found = skimmed(there, tmp_path)
        finally:
            server.terminate()
    np.testing.assert_allclose(found, skimmed(make_estimators("deepmet")[0], tmp_path, "here"), atol=2e-3)
