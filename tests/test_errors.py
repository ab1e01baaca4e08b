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


def test_of_very_many_names_the_most_similar_are_listed():
    names = [f"NUM_TightID_{n}" for n in range(100)] + ["NUM_MediumID"]
    said = str(errors.UnknownName("correction", "NUM_MediumId", names))
    assert "did you mean 'NUM_MediumID'?" in said
    assert said.endswith(f"and {101 - errors.LISTED} others")
    assert said.count(", ") < errors.LISTED + 2
