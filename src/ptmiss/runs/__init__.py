"""Runs of processors over filesets: inspecting files, cutting them into chunks, processing these, merging results.

``runner`` and ``skim`` are the entry points. The other modules serve them.
"""
