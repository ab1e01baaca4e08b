"""A normalising flow of the recoil of several estimators at once, with a switch between data and simulation.

``network`` is the flow (zuko), ``events`` what it is trained on, ``recipe`` its training, ``weights`` its file.
"""
