"""Scale and resolution of muons and electrons: corrected momenta with their variations, and photons that muons radiate.

* ``schema``: the keys of a selection, ``[leptons.momentum]`` and ``[leptons.fsr]``
* ``muons``, ``electrons``: the corrections of CMS's groups, on flat columns; ``columns``: formulas over those of a file
* ``random``: numbers that are the same for a lepton wherever it is processed
* ``evaluation``: the leptons of events with corrected momenta; ``radiation``: the photons added to them
"""
