"""DeepMET: the network in torch, its training events and its recipe."""
