"""Inputs for fits: ``templates`` of a run, or of the ``spectra`` of a recoil table, as ROOT and a card for ``combine``,
and as JSON for ``histfactory``."""
