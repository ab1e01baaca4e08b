"""Training of networks in torch: DeepMET and MLPF, model cards, ONNX, and CMS's released graphs.

ptmiss.networks runs the trained networks; ``shipped/`` has the weights that come with the package.
"""
