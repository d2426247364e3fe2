"What notebook dicom_source does not show: values that may not be copied, and the example's size."

import numpy as np
import pytest
from pydicom import dcmread

from hemidiaphragm_nb.dicom_source import _unsound as unsound
from hemidiaphragm_nb.dicom_source import write_example

WIDE = np.arange(16 * 24, dtype=np.uint8).reshape(16, 24)


def test_an_example_keeps_its_shape(tmp_path):
    ds = dcmread(write_example(tmp_path / "a.dcm", WIDE))
    assert (ds.Rows, ds.Columns) == WIDE.shape and np.array_equal(ds.pixel_array, WIDE)


@pytest.mark.parametrize(
    "header, expected",
    [
        ({}, []),
        (dict(PatientID=["A", "B"]), ["PatientID"]),  # one value is allowed
        (dict(StudyDate="2020.13.45"), ["StudyDate"]),
        (dict(StudyDate="2020.13.45", PatientID=["A", "B"]), ["PatientID", "StudyDate"]),
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value", "ignore:.*Unspecified")
def test_values_that_dicom_does_not_allow_are_named(header, expected, tmp_path):
    assert sorted(unsound(write_example(tmp_path / "a.dcm", WIDE, **header))) == expected
