import numpy as np
import pandas as pd

from ptmiss.evaluation import vertex


def test_events_without_a_boson_are_among_all_events_and_in_no_bin():
    frame = pd.DataFrame({"boson_pt": [3.0, 3.0, np.nan, np.nan], "right": [True, False, False, False]})
    table = vertex.fractions({"W": frame})
    assert table["events"].tolist() == [2, 0, 0, 0, 0, 0, 0, 4]
    assert table["wrong"].iloc[-1] == 3
