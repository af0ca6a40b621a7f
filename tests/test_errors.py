"""What errors of several places have in common: their wording, and the chain of errors behind one."""

import pytest

from mixlingua.errors import ConfigError, causes, check_choice, check_whole, differences, first_line


def test_a_value_that_is_no_choice_is_told_with_the_choices_in_their_order():
    check_choice("loss.sides", "both", {"query": 1, "both": 2})
    with pytest.raises(ConfigError) as caught:
        check_choice("loss.sides", "qery", ("query", "passage"))
    assert str(caught.value) == "loss.sides=qery: it is one of query, passage. Did you mean 'query'?"
    with pytest.raises(ConfigError, match=r"^precision=32: it is one of auto\.$"):
        check_choice("precision", 32, ["auto"])


@pytest.mark.parametrize("value", [0, -1, True, 1.0, "1", None])
def test_what_is_no_whole_number_of_the_least_or_more_is_told(value):
    check_whole("k", 1, 1)
    with pytest.raises(ConfigError) as caught:
        check_whole("k", value, 1)
    assert str(caught.value) == f"k={value!r}: a whole number of 1 or more is needed."


def test_an_error_that_was_handled_meanwhile_is_a_cause_only_where_contexts_count():
    first, second, last = OSError("disk"), KeyError("row"), ValueError("batch")
    last.__cause__, second.__context__ = second, first
    assert list(causes(last)) == [last, second]
    assert list(causes(last, contexts=True)) == [last, second, first]
    assert list(causes(None)) == []


def test_the_first_line_of_an_error_that_says_nothing_is_its_type():
    assert first_line(ValueError("\n one\ntwo")) == "one"
    assert first_line(KeyboardInterrupt()) == "KeyboardInterrupt"


def test_what_changed_is_told_in_the_order_of_the_names():
    saved, current = {"seed": 0, "steps": 4, "name": "a"}, {"steps": 4, "name": "b", "size": 1}
    assert differences(saved, current) == ["seed was 0, is None", "name was 'a', is 'b'", "size was None, is 1"]
    assert differences(saved, dict(reversed(saved.items()))) == []
