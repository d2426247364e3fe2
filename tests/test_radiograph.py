"""What notebook 00 does not show of `radiograph`: its error, and grey levels by hand."""

import pickle

import numpy as np
import pytest

from hemidiaphragm_nb.radiograph import RadiographError, grey_range, standardise
from hemidiaphragm_nb.radiograph import _ends as ends

ERROR = RadiographError("ward/7.png", "the file is empty", "Copy it again.")


def test_text_names_file_reason_and_advice():
    assert str(ERROR) == "ward/7.png: the file is empty. Copy it again."
    assert str(RadiographError("a.png", "it is animated")) == "a.png: it is animated."


def test_error_travels_between_processes():
    "An exception whose `args` are not its constructor's arguments cannot be unpickled."
    copy = pickle.loads(pickle.dumps(ERROR))
    assert str(copy) == str(ERROR) and copy.args == ERROR.args
    assert vars(copy) == vars(ERROR) and ERROR.args == ("ward/7.png", ERROR.reason, ERROR.advice)


def test_error_is_a_value_error():
    with pytest.raises(ValueError, match="ward/7.png"):
        raise ERROR


def test_text_is_escaped_and_the_path_whole():
    "A name or a header may hold what moves a terminal's cursor, or is not UTF-8."
    error = RadiographError("\x1b[2Ja\udcff.png", "its colours are \x1b]0;X\x07", "\x9b31mSave\n")
    assert str(error) == r"\x1b[2Ja\udcff.png: its colours are \x1b]0;X\x07. \x9b31mSave"
    assert error.path == "\x1b[2Ja\udcff.png"
    assert str(error).isprintable()


def ramp(border: float = 1e6) -> np.ndarray:
    "Rows of 0 to 59 in the middle of 80 by 80 pixels; an eighth on each side is `border`."
    pixels = np.full((80, 80), border)
    pixels[10:70, 10:70] = np.arange(60.0)[:, None]
    return pixels


def test_ends_are_percentiles():
    assert ends(np.arange(1001.0)) == (5, 995)


@pytest.mark.parametrize("border", [-1e6, 30.0, 1e6])
def test_grey_range_by_hand(border):
    """0 and 59 are the ends, 2.01 % of 59 off each leaves 2 to 57, and 5 % of 55 is put on again;
    the border takes no part.
    """
    assert grey_range(ramp(border)) == pytest.approx((2 - 2.75, 57 + 2.75), abs=1e-12)
    assert grey_range(ramp(border).T) == pytest.approx((2 - 2.75, 57 + 2.75), abs=1e-12)


def test_standardise_by_hand():
    grey = standardise(ramp())
    assert grey.dtype == np.float32 and (grey[:10] == 1).all()  # clipped
    expected = (np.arange(60) + 0.75) / 60.5
    np.testing.assert_allclose(grey[10:70, 40], expected, rtol=0, atol=1e-6)
    assert (standardise(ramp(-1e6))[:10] == 0).all()


@pytest.mark.parametrize("a, b", [(1.5 / 60.5, 1000.3), (1, 2.0**22), (1e-7, 0), (1e-7, -2e-6)])
def test_standardise_keeps_digits(a, b):
    "Of pixels that single precision holds; their ends need not be held by it."
    pixels = (a * ramp(30.0) + b).astype(np.float32)
    low, high = grey_range(pixels)
    expected = ((pixels.astype(float) - low) / (high - low)).clip(0, 1)
    np.testing.assert_allclose(standardise(pixels), expected, rtol=0, atol=1e-6)
