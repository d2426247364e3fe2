"A saved model of unknown origin: one error names its folder, and nothing large is built first."

import json
import math
import time

import pytest
import torch
from safetensors.torch import load_file, save_file

from hemidiaphragm_nb.networks import ModelError, TorchPredictor, build_net
from hemidiaphragm_nb.recipes import recipe


@pytest.fixture
def model(tmp_path):
    "The folder of a small model."
    small = recipe(side=64, width=4, precision="fp32")
    TorchPredictor(build_net(small), small, {"format": 1, "frame": 512}).save(tmp_path / "model")
    return tmp_path / "model"


VALUES = {"NaN": math.nan, "infinite": math.inf, "minus infinite": -math.inf, "absurd": 1e30}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
@pytest.mark.parametrize("name", ["first weight", "a running variance"])
def test_weights_that_are_no_numbers_are_refused(model, value, name):
    file = model / "weights.safetensors"
    tensors = load_file(file)
    chosen = next(k for k in tensors if k.endswith("weight" if name[0] == "f" else "running_var"))
    tensors[chosen].view(-1)[0] = value
    save_file(tensors, file)
    with pytest.raises(ModelError, match="no numbers or beyond") as error:
        TorchPredictor.load(model)
    assert chosen in str(error.value) and str(model) in str(error.value)


def test_sound_weights_are_read(model):
    assert all(torch.isfinite(p).all() for p in TorchPredictor.load(model).net.parameters())


CARDS = {
    "beta": ({}, {"beta": math.inf}, "beta is inf"),
    "depth": ({}, {"depth": 10**6}, "depth is 1000000"),
    "members": ({"members": [{}] * 10**6}, {}, "members is no list"),
    "radius": ({"radius_factor": -2}, {}, "radius_factor is -2"),
    "format": ({"format": 9}, {}, "format is 9"),
    "frame": ({"frame": 256}, {}, "frame is 256"),
}


@pytest.mark.parametrize("facts, settings, reason", CARDS.values(), ids=CARDS)
def test_a_card_is_validated_at_once(model, facts, settings, reason):
    file = model / "card.json"
    card = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(card | facts | {"recipe": card["recipe"] | settings}))
    start = time.perf_counter()
    with pytest.raises(ModelError, match=reason) as error:
        TorchPredictor.load(model)
    assert time.perf_counter() - start < 10 and str(model) in str(error.value)


def test_a_card_that_is_no_object_is_refused(model):
    for text in ("[]", "1", "null", '{"recipe": []}', "{"):
        (model / "card.json").write_text(text)
        with pytest.raises(ModelError, match="no usable model"):
            TorchPredictor.load(model)
