"""Inputs for fits: ``templates`` of a run, as ROOT and a card for ``combine``, and as JSON for ``histfactory``."""
