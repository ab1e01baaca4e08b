"""Coffea processors, one analysis a file: thin, with the physics in functions that notebooks and tests call too."""
