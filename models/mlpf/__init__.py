"""Machine-learned particle flow (MLPF): from elements to the particle behind each of them."""
