"The hook of `other_processor` reaches the functions that it changes: else it would prove nothing."

import os

import pytest

from tests.any_processor import HOOK, first_failure, training_notebooks
from tools.project import ROOT, python

CODE = """
import torch
from hemidiaphragm_nb.batches import epoch_generator, set_seed
from hemidiaphragm_nb.precision import has_bf16
set_seed(1)
print(torch.initial_seed(), epoch_generator(1, 2).initial_seed(), has_bf16("cpu"))
"""


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_seeds_and_precision_are_changed(precision):
    path = os.pathsep.join([str(ROOT), str(HOOK)])
    variables = {"SEED_SHIFT": "1000", "PRECISION": precision}
    variables = {f"HEMIDIAPHRAGM_TEST_{name}": value for name, value in variables.items()}
    seed, generator, bf16 = python("-c", CODE, PYTHONPATH=path, **variables).split()[-3:]
    assert (int(seed), bf16) == (1001, str(precision == "bf16"))
    plain = python("-c", CODE).split()[-2]
    assert int(generator) > int(plain), "the generator's seed is shifted too"


def test_epochs_are_capped():
    code = "from hemidiaphragm_nb.recipes import recipe as r; print(r().epochs, r(epochs=1).epochs)"
    path = os.pathsep.join([str(ROOT), str(HOOK)])
    capped = python("-c", code, PYTHONPATH=path, HEMIDIAPHRAGM_TEST_EPOCHS="2").split()[-2:]
    assert capped == ["2", "1"] and int(python("-c", code).split()[-2]) > 2


def test_notebooks_that_train_are_found():
    names = {path.stem for path in training_notebooks([])}
    assert {"08_train", "13_explain", "14_transfer"} <= names
    assert not {"03_heatmaps", "07_metrics"} & names


def test_a_failure_is_named_by_its_line_and_error():
    message = "      1 x = 2\n----> 2 assert x == 3\n\nAssertionError: 2 is not 3\nexited with 1"
    assert first_failure(message) == "assert x == 3 | AssertionError: 2 is not 3"
