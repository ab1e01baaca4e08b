"""Columnar missing transverse momentum and hadronic recoil at hadron colliders."""

__version__ = "0.1.0"
