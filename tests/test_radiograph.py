"""What notebook 00 does not show of `radiograph`: its error."""

import pickle

import pytest

from hemidiaphragm_nb.radiograph import RadiographError

ERROR = RadiographError("ward/7.png", "the file is empty", "Copy it again.")


def test_text_names_file_reason_and_advice():
    assert str(ERROR) == "ward/7.png: the file is empty. Copy it again."
    assert str(RadiographError("a.png", "it is animated")) == "a.png: it is animated."


def test_error_travels_between_processes():
    "An exception whose `args` are not its constructor's arguments cannot be unpickled."
    copy = pickle.loads(pickle.dumps(ERROR))
    assert str(copy) == str(ERROR)
    assert vars(copy) == vars(ERROR)


def test_error_is_a_value_error():
    with pytest.raises(ValueError, match="ward/7.png"):
        raise ERROR


def test_text_is_escaped_and_the_path_whole():
    "A name or a header may hold what moves a terminal's cursor, or is not UTF-8."
    error = RadiographError("\x1b[2Ja\udcff.png", "its colours are \x1b]0;X\x07", "\x9b31mSave\n")
    assert str(error) == r"\x1b[2Ja\udcff.png: its colours are \x1b]0;X\x07. \x9b31mSave"
    assert error.path == "\x1b[2Ja\udcff.png"
    assert str(error).isprintable()
