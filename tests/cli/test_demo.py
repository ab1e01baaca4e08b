import pytest

from ptmiss import table
from ptmiss.cli import demo


@pytest.mark.slow
def test_the_demo_ends_with_a_page(tmp_path, empty_pictures):
    steps = []
    shown = demo.demo(tmp_path, steps.append)
    assert shown.figures[0].name == "overview.png"
    assert all(figure.is_file() for figure in shown.figures)
    assert table.read(shown.table).estimators == list(demo.ESTIMATORS)
    assert (tmp_path / "calibration" / "closure.csv").is_file()
    text = shown.page.read_text()
    titles = ("Z → μμ, MLPF", "W → μν", "Calibration", "Transverse mass", "Closure")
    for name in (*titles, "mlpf_puppi", "deepmet_latent_mlpf", "deepmet"):
        assert name in text
    assert len(steps) == 4
