"""Networks, their weights and how they come to be."""
