"""Models by name and version, and behind URLs."""

import shutil
import threading
from functools import partial
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ptmiss.errors import FileError, OptionError, WeightsError
from ptmiss.networks import store
from ptmiss.networks.registry import load_model, save_model, weights_file

from ..helpers import call, random_model


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of models: versions 1.2.0, 1.10.0 and 2.0.0 of ``mine``, and 3.0.0 of ``deepmet``."""
    place = tmp_path / "models"
    for seed, version in enumerate(("1.2.0", "1.10.0", "2.0.0")):
        save_model(random_model(seed), place / "mine" / version / "model.safetensors", version)
    (place / "mine" / "draft").mkdir()
    shutil.copytree(weights_file("linear").parent, place / "deepmet" / "3.0.0")
    monkeypatch.setenv(store.FOLDERS, f"{tmp_path / 'none'}:{place}")
    return place


@pytest.mark.parametrize(
    ("name", "version"),
    [("mine", "2.0.0"), ("mine@1", "1.10.0"), ("mine@1.2", "1.2.0"), ("mine@1.2.0", "1.2.0"), ("mine@2", "2.0.0")],
)
def test_the_latest_version_that_begins_so(folder, name, version):
    assert weights_file(name) == folder / "mine" / version / "model.safetensors"
    assert load_model(name).name == "random"


def test_a_model_of_the_package_and_other_versions_of_it(folder):
    own = weights_file("deepmet")
    assert own.parent.name == "deepmet"
    assert weights_file("deepmet@1") == weights_file("deepmet@1.0.0") == own
    assert weights_file("deepmet@3") == folder / "deepmet" / "3.0.0" / "model.safetensors"
    assert "mine " in call("models", "list")


def test_versions_that_are_not_there(folder, monkeypatch):
    with pytest.raises(FileError, match=r"no version 3 of model 'mine'; there: 1\.2\.0, 1\.10\.0, 2\.0\.0"):
        weights_file("mine@3")
    with pytest.raises(OptionError, match=r"expected a version such as 1, 1\.2 or 1\.2\.0 after the @"):
        weights_file("mine@new")
    with pytest.raises(FileError, match=r"did you mean 'mine'\?"):
        weights_file("mime")
    monkeypatch.delenv(store.FOLDERS)
    with pytest.raises(FileError, match=r"no version 3 of model 'deepmet'; the package has 1\.0\.0"):
        weights_file("deepmet@3")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Quiet(SimpleHTTPRequestHandler):
    """Serves files, and says nothing."""

    def log_message(self, *args):
        """Nothing."""


@pytest.fixture
def site(tmp_path):
    """A web server of a folder with a model, and the model's URL."""
    save_model(random_model(), tmp_path / "site" / "model.safetensors", "random")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "site")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/model.safetensors"
    server.shutdown()
    server.server_close()


def test_a_model_behind_a_url_is_fetched_once(site, tmp_path, cache):
    digest = sha256((tmp_path / "site" / "model.safetensors").read_bytes()).hexdigest()
    path = weights_file(f"{site}#sha256={digest}")
    assert load_model(path).name == "random"
    assert path.is_relative_to(cache)
    (tmp_path / "site" / "model.safetensors").unlink()
    assert load_model(f"{site}#sha256={digest}").name == "random"  # nothing is asked
    path.write_bytes(b"damaged")
    with pytest.raises(FileError, match=r"cannot fetch http://127\.0\.0\.1.*not found"):
        weights_file(f"{site}#sha256={digest}")


def test_what_is_wrong_with_a_url(site, cache):
    with pytest.raises(OptionError, match="expected the hash of the file at the end"):
        weights_file(site)
    with pytest.raises(WeightsError, match=r"the file's SHA-256 is .*…, the URL states 000000000000…"):
        weights_file(f"{site}#sha256={'0' * 64}")
    assert not list(cache.rglob("*.safetensors"))
    with pytest.raises(OptionError, match="expected a URL of https, http, file"):
        weights_file(f"ftp://somewhere/model.safetensors#sha256={'0' * 64}")
    with pytest.raises(FileError, match="cannot fetch http://127"):
        weights_file(f"http://127.0.0.1:1/x#sha256={'0' * 64}")


def test_a_file_by_url(tmp_path, cache):
    save_model(random_model(2), tmp_path / "net.safetensors", "random")
    digest = sha256((tmp_path / "net.safetensors").read_bytes()).hexdigest()
    assert load_model(f"file://{tmp_path}/net.safetensors#sha256={digest}").name == "random"
