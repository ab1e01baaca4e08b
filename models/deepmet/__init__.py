"""DeepMET: the network in torch, what it is trained on and how."""
