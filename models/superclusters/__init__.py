"""Training of the network of superclusters; ptmiss.networks.superclusters runs it."""
