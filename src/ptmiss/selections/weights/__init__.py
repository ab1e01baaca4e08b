"""Weights of simulated events, each by a name, with its variations up and down; data have none.

A selection has a section of each, ``[weights.NAME]``, whose ``kind`` says what it is:

* ``pileup``, ``correction``: looked up in a file of correctionlib (``corrections``)
* ``scale``, ``pdf``, ``shower``: out of the weights that a generator stores (``theory``)
* ``prefiring``, ``sign``, ``formula``: out of branches (``branches``)

``schema`` checks the sections, ``columns`` gives a weight the columns that it asks for, and ``evaluation`` multiplies
all.
"""
