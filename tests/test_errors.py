import pickle

from ptmiss import errors


def test_the_tree_in_the_docstring_is_the_tree_in_the_code():
    drawn = {line.split()[1] for line in errors.__doc__.splitlines() if line.strip().startswith(("├", "└"))}
    assert drawn == {cls.__name__ for cls in errors.PtmissError.__subclasses__()}


def test_an_unknown_name_says_the_nearest_and_survives_a_pickle():
    error = errors.UnknownName("estimator", "pupi", ["pf", "puppi"])
    assert str(error) == "unknown estimator 'pupi', did you mean 'puppi'?; known: pf, puppi"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_no_hint_for_what_is_near_nothing():
    assert errors.hint("zzz", ["pf", "puppi"]) == ""
