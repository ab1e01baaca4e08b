"""Why an estimator answers as it does: parts of the recoil, and what each input does to a network's weights.

``events`` reads events with a boson, ``parts`` takes u∥ and u⊥ apart, ``dependence`` turns one input of candidates,
``importance`` shuffles one, ``gradients`` attributes the recoil to inputs; ``figures`` and ``report`` show all of it.
``relevance`` says which elements made the candidates of an MLPF, and ``relevance_figures`` draws it. ``profiles``
measures what a network costs.
"""

from ptmiss.explanation.report import explain, show

__all__ = ["explain", "show"]
