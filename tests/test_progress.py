"""Bars on a terminal."""

import io
import logging
import sys

from rich.console import Console

from ptmiss import progress


def test_each_work_has_a_line_with_its_unit_and_what_changes():
    bar = progress.progress_bar()
    show = progress.progress_callback(bar)
    show("read", 5, 10)
    show("training: loss 3", 1, 4)
    show("training: loss 2", 2, 4)
    assert [(t.description, t.completed, t.total, t.fields["unit"]) for t in bar.tasks] == [
        ("read", 5, 10, "events"),
        ("training: loss 2", 2, 4, "batches"),
    ]


def test_a_bar_has_room_on_a_terminal_of_eighty_columns(monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    bar = progress.progress_bar()
    console = Console(width=80, record=True, file=io.StringIO())
    progress.progress_callback(bar)("training: loss 123.4", 20000, 20000)
    console.print(bar.get_renderable())
    shown = console.export_text()
    assert "loss 123.4" in shown
    assert "20000/20000 batches" in shown


def test_no_bar_without_a_terminal_or_where_it_is_not_wanted(monkeypatch):
    assert progress.progress_bar().disable
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert not progress.progress_bar().disable
    monkeypatch.setattr(progress.log, "level", logging.ERROR)
    assert progress.progress_bar().disable
