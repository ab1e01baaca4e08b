"""Running processors over filesets: files looked into, cut into chunks, handed to pools, kept, added up.

``runner`` and ``skim`` are the two ways in; the others are what they need.
"""
