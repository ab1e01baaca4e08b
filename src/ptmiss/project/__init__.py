"""A directory to begin with, and what leads in it from event files to a page of results.

* ``beginning``: writes the fileset, the selection and the configuration, of what ``looks`` finds in the files
* ``steps``: reads the configuration, a verb and its options in each section; which are missing or out of date
"""

from .beginning import FILESET, SELECTION, Begun, begin
from .steps import CONFIGURATION, Step, Steps, read

__all__ = ["CONFIGURATION", "FILESET", "SELECTION", "Begun", "Step", "Steps", "begin", "read"]
