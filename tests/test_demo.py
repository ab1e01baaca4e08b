from ptmiss import demo, table


def test_the_demo_ends_with_figures(tmp_path):
    figures = demo.demo(tmp_path)
    assert figures[0].name == "overview.png"
    assert all(figure.is_file() for figure in figures)
    assert table.read(tmp_path / "recoil.parquet").estimators == list(demo.ESTIMATORS)
