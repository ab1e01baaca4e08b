from __future__ import annotations

import pytest

from ptmiss import sample


@pytest.fixture(scope="session")
def embedded():
    """The 60 embedded Z → μμ as a dataset."""
    pytest.importorskip("torch")
    from ptmiss.models.deepmet import dataset

    return dataset.read([str(sample.events("zmumu"))])


def options(**given):
    """A recipe of a short training, as the command line gives it."""
    from ptmiss.models.deepmet.recipe import Recipe

    return Recipe(epochs=1, warm=0).model_dump() | given
