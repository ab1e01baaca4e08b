"""Files of open full simulation as event files of this package."""
