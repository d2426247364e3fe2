"What `predict` is given: a path or a radiograph; pixels alone are pointed to one."

import numpy as np
import pytest
import torch
from PIL import Image

from hemidiaphragm_nb.phantom import phantom
from hemidiaphragm_nb.predict import predict
from hemidiaphragm_nb.radiograph import Radiograph

GREY = phantom(3, side=256).image


@pytest.mark.parametrize(
    "pixels",
    [
        GREY,
        GREY.astype(np.float32) / 255,
        GREY.tolist(),
        torch.tensor(GREY),
        torch.tensor(GREY)[None].float(),
        Image.fromarray(GREY),
        GREY.tobytes(),
        None,
    ],
)
def test_pixels_alone_are_pointed_to_a_radiograph(pixels):
    with pytest.raises(TypeError, match=r"Radiograph\(numpy.asarray\(pixels") as error:
        predict(pixels)
    assert "\n" not in str(error.value) and type(pixels).__qualname__ in str(error.value)


@pytest.mark.parametrize("convert", [np.asarray, torch.tensor, Image.fromarray])
def test_the_advice_of_that_error_works(convert, tmp_path):
    Image.fromarray(GREY).save(tmp_path / "a.png")
    read = predict(tmp_path / "a.png")
    given = predict(Radiograph(np.asarray(convert(GREY), np.float32)))
    np.testing.assert_array_equal(given.points, read.points)
    assert predict(str(tmp_path / "a.png")).gap_px == read.gap_px
