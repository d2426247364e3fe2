"A saved model of unknown origin: one error names its folder, and nothing large is built first."

import importlib
import json
import math
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from hemidiaphragm_nb import cli
from hemidiaphragm_nb.card_checks import ModelError
from hemidiaphragm_nb.files import save_picture
from hemidiaphragm_nb.frames import phantom_frames
from hemidiaphragm_nb.landmarks import split_by_patient
from hemidiaphragm_nb.networks import TorchPredictor, build_net, ensemble, register_network
from hemidiaphragm_nb.phantom import phantom
from hemidiaphragm_nb.precision import as_tuple
from hemidiaphragm_nb.recipes import RecipeError, recipe
from hemidiaphragm_nb.registry import OWN
from hemidiaphragm_nb.runtime import shipped_folder
from hemidiaphragm_nb.train import train
from hemidiaphragm_nb.trial import _NEAREST, _SMALLEST_RANGE, trial_picture

SMALL = recipe(side=64, width=4, precision="fp32")


@pytest.fixture
def model(tmp_path):
    "The folder of a small model."
    TorchPredictor(build_net(SMALL), SMALL, {"format": 1, "frame": 512}).save(tmp_path / "model")
    return tmp_path / "model"


VALUES = {"NaN": math.nan, "infinite": math.inf, "minus infinite": -math.inf, "absurd": 1e30}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
@pytest.mark.parametrize("name", ["first weight", "a running variance"])
def test_weights_that_are_no_numbers_are_rejected(model, value, name):
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
    "text for a number": (
        {},
        {"epochs": "x"},
        "card.json: epochs is 'x'; it must be a whole number",
    ),
    "half an epoch": ({}, {"epochs": 2.5}, "card.json: epochs is 2.5; it must be a whole number"),
    "nothing for a number": ({}, {"lr": None}, "card.json: lr is None; it must be a number"),
    "truth for a number": ({}, {"clip": True}, "card.json: clip is True; it must be a number"),
    "number for a text": ({}, {"keep": 1}, "card.json: keep is 1; it must be a text"),
    "table for a text": ({}, {"norm": {}}, "card.json: norm is {}; it must be a text, or null"),
    "two at once": ({}, {"wd": "a", "batch": []}, "batch is .*whole number; wd is 'a'"),
    "unknown setting": ({}, {"betta": 3}, "card.json: a recipe has no .'betta'.; it has .*'beta'"),
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


LARGE = {"members": [{}] * 32}, {"width": 256, "depth": 4}


def test_a_network_larger_than_its_file_is_not_built(model):
    resource = pytest.importorskip("resource")
    file = model / "card.json"
    card = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(card | LARGE[0] | {"recipe": card["recipe"] | LARGE[1]}))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ModelError, match="does not hold the network of its card") as error:
        TorchPredictor.load(model)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 100_000 and "tensors differ" in str(error.value)  # KiB


def test_what_a_recipe_rejects():
    for key, value in dict(seed=-1, patience=-1, lam_hem=math.nan, wd=-1, clip=math.inf).items():
        with pytest.raises(RecipeError, match=f"{key} is"):
            recipe(**{key: value})


def test_a_card_that_is_no_object_is_rejected(model):
    for text in ("[]", "1", "null", '{"recipe": []}', "{"):
        (model / "card.json").write_text(text)
        with pytest.raises(ModelError, match="no usable model .card.json: "):
            TorchPredictor.load(model)


def every(value):
    return lambda name, tensor: tensor.fill_(value)


def heads(**values):
    def change(name, tensor):
        for kind, value in values.items():
            if name.startswith("heads.") and name.endswith(kind):
                tensor.fill_(value)

    return change


def a_variance(name, tensor):
    if name.endswith("running_var"):
        tensor.view(-1)[0] = -0.5


def one_heatmap(name, tensor):
    if name == "heads.heatmap.weight":
        tensor[0] = 0


ABSURD = {
    "all 0": every(0),
    "heads 0": heads(weight=0, bias=0),
    "heads' weights 0": heads(weight=0),
    "one heatmap's weights 0": one_heatmap,
    "times 500": lambda name, tensor: tensor.mul_(500),
    "times 10": lambda name, tensor: tensor.mul_(10),
    "all -900": every(-900),
    "heads' biases 999": heads(bias=999),
    "heads' biases -999": heads(bias=-999),
    "a variance below 0": a_variance,
}


@pytest.mark.parametrize("norm", ["batch", "group", "instance", None])
@pytest.mark.parametrize("change", ABSURD.values(), ids=ABSURD)
def test_absurd_weights_are_rejected(tmp_path, change, norm):
    "Their maps would be the same for every radiograph: landmarks in a corner, a gap of 0."
    if change is a_variance and norm != "batch":
        pytest.skip("no variance among the weights")
    if change is ABSURD["times 10"] and norm in ("group", "instance"):
        pytest.skip("what is divided by its own deviation answers as before")
    small = recipe(side=64, width=4, norm=norm, seed=1)
    net = build_net(small)
    with torch.no_grad():
        for name, tensor in net.state_dict().items():
            if tensor.is_floating_point():
                change(name, tensor)
    TorchPredictor(net, small, {}).save(tmp_path)
    with pytest.raises(ModelError, match="weights") as error:
        TorchPredictor.load(tmp_path)
    assert str(tmp_path) in str(error.value)


def test_a_training_that_learnt_nothing_is_still_a_result(tmp_path):
    "A study counts it; only who predicts with it is told."
    small = recipe(side=64, width=4, seed=1)
    net = build_net(small)
    with torch.no_grad():
        for tensor in net.state_dict().values():
            tensor.zero_()
    TorchPredictor(net, small, {}).save(tmp_path)
    maps = TorchPredictor.load(tmp_path, trial=False).predict(np.zeros((1, 1, 64, 64), np.uint8))
    assert not maps.heatmaps.any()


SOUND = [
    *(dict(side=64, width=w, norm=n) for w in (4, 8) for n in ("batch", "group", "instance", None)),
    dict(side=64, width=4, tasks=("mask",)),
    dict(side=128, width=4, tasks=("heatmap",), shared=True),
    dict(side=64, width=4, arch="lite0"),
    dict(side=64, width=2, arch="brain", tasks=("mask",), mask_channels=1),
]


@pytest.mark.parametrize("settings", SOUND, ids=str)
def test_fresh_networks_pass_with_a_margin(settings):
    "Ten times the smallest range that is allowed, a fifth of the largest distance from 0."
    for seed in range(8):
        made = recipe(seed=seed, **settings)
        with torch.no_grad():
            maps = as_tuple(build_net(made).eval()(torch.from_numpy(trial_picture(made.side))))
        for task, map in zip(made.tasks, maps):
            assert np.ptp(map.numpy(), (-2, -1)).min() > 10 * _SMALLEST_RANGE, seed
            assert map.abs().amin((-2, -1)).max() < _NEAREST[task] / 5, seed


def test_the_network_that_ships_passes_with_a_margin():
    predictor = TorchPredictor.load(shipped_folder())
    with torch.no_grad():
        heatmap, mask = predictor.net(torch.from_numpy(trial_picture(256)))
    assert np.ptp(heatmap.numpy(), (-2, -1)).min() > 0.1 and heatmap.abs().max() < 2
    assert np.ptp(mask.numpy(), (-2, -1)).min() > 5 and mask.abs().max() < 50


def test_an_ensemble_was_trained_on_what_its_members_were():
    def one(seed, **known):
        return TorchPredictor(build_net(SMALL), replace(SMALL, seed=seed), known)

    a, b = ({"side": 64, "images": images} for images in (["1", "3"], ["2", "3"]))
    both = ensemble([one(0, trained_on=a), one(1, trained_on=b)]).card
    assert both["trained_on"] == {"side": 64, "images": ["1", "2", "3"]}
    for other in ({}, {"trained_on": b | {"side": 128}}):  # whose images nobody could find
        assert "trained_on" not in ensemble([one(0, trained_on=a), one(1, **other)]).card


LAYERS = """
from torch import nn
from hemidiaphragm_nb.networks import register_network

@register_network("plain_layers")
def plain_layers(recipe):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Conv2d(1, recipe.width, 5, padding=2)
            self.heat, self.mask = nn.Conv2d(recipe.width, 2, 1), nn.Conv2d(recipe.width, 2, 1)
        def forward(self, x):
            return self.heat(self.layers(x)).sigmoid(), self.mask(self.layers(x))
    return Net()
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    "A module of somebody's own that registers a network, imported; forgotten at the end."
    (tmp_path / "own_layers.py").write_text(LAYERS)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("own_layers")
    OWN["arch"].pop("plain_layers", None)
    sys.modules.pop("own_layers", None)


def test_a_network_of_ones_own_is_trained_saved_and_loaded(own, tmp_path):
    frames = phantom_frames(12, seed=1, side=64)
    split = split_by_patient(frames.table, seed=0)
    settings = replace(SMALL, arch="plain_layers", epochs=1)
    model = train(frames, split, settings, tmp_path / "model", progress=False, device="cpu")
    card = json.loads((tmp_path / "model/card.json").read_text())
    assert card["recipe"]["arch"] == "plain_layers" and card["recipe"]["width"] == 4
    assert card["network"] == {"name": "plain_layers", "module": "own_layers"}
    loaded = TorchPredictor.load(tmp_path / "model", trial=False)
    answers = [m.predict(frames.images[:2]) for m in (model, loaded)]
    assert np.array_equal(answers[0].heatmaps, answers[1].heatmaps)
    OWN["arch"].clear()
    with pytest.raises(ModelError, match="first import or run the module own_layers") as error:
        TorchPredictor.load(tmp_path / "model")
    assert "'plain_layers'" in str(error.value) and str(tmp_path / "model") in str(error.value)
    with pytest.raises(RecipeError, match="once the module that registers it is imported"):
        replace(SMALL, arch="plain_layers")


def test_a_card_chooses_no_module_to_import(own, tmp_path, monkeypatch):
    settings = replace(SMALL, arch="plain_layers")
    TorchPredictor(build_net(settings), settings, {"format": 1, "frame": 512}).save(tmp_path / "m")
    OWN["arch"].clear()
    (tmp_path / "trap.py").write_text("raise SystemExit('it ran')")
    card = json.loads((tmp_path / "m/card.json").read_text())
    for module in ("trap", "\x1b[2J", 7, None):
        text = json.dumps(card | {"network": {"module": module}})
        (tmp_path / "m/card.json").write_text(text)
        with pytest.raises(ModelError) as error:
            TorchPredictor.load(tmp_path / "m")
        assert "\x1b" not in str(error.value) and "trap" not in sys.modules


@pytest.mark.parametrize("name", ["unet", "imagenet", "", "a b", "../x"])
def test_names_that_a_network_cannot_have(name):
    with pytest.raises(RecipeError, match="it must be a new name"):
        register_network(name)


def test_two_networks_of_one_name(own):
    def plain_layers(recipe):
        return None

    with pytest.raises(RecipeError, match="own_layers has registered another"):
        register_network("plain_layers")(plain_layers)
    assert register_network("plain_layers")(own.plain_layers) is own.plain_layers  # again
    OWN["arch"]["plain_layers"] = plain_layers
    with pytest.raises(RecipeError, match="gives a NoneType"):
        build_net(replace(SMALL, arch="plain_layers"))


PARTS = """
from hemidiaphragm_nb.distances import register_distance
from hemidiaphragm_nb.losses import heatmap_loss, register_loss

@register_distance("own_distance")
def own_distance(x, y, tx, ty):
    return abs(x - tx) + abs(y - ty)

@register_loss("own_loss")
def own_loss(recipe):
    return lambda preds, heat, mask: heatmap_loss(preds[0], heat) + 0 * preds[1].sum()
"""


@pytest.fixture
def parts(tmp_path, monkeypatch):
    "A module of somebody's own that registers a distance and a loss, imported."
    (tmp_path / "own_parts.py").write_text(PARTS)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("own_parts")
    for key in ("metric", "loss"):
        OWN[key].clear()
    sys.modules.pop("own_parts", None)


def test_a_distance_and_a_loss_of_ones_own_are_trained_saved_and_asked_for(parts, tmp_path):
    frames = phantom_frames(12, seed=1, side=64)
    split = split_by_patient(frames.table, seed=0)
    settings = replace(SMALL, metric="own_distance", loss="own_loss", epochs=1)
    model = train(frames, split, settings, tmp_path / "model", progress=False, device="cpu")
    card = json.loads((tmp_path / "model/card.json").read_text())
    row = card["last_epoch"]  # the loss is the heatmaps' alone, and the history has both tasks
    assert row["valid_loss"] == pytest.approx(row["valid_heatmap"], rel=1e-3)
    assert row["valid_mask"] > 0
    loaded = TorchPredictor.load(tmp_path / "model", trial=False)
    answers = [m.predict(frames.images[:2]).heatmaps for m in (model, loaded)]
    assert np.array_equal(*answers)
    for key, noun in (("metric", "distance"), ("loss", "loss")):
        name = f"own_{noun}"
        assert card[noun] == {"name": name, "module": "own_parts"}
        known = OWN[key].pop(name)
        wanted = f"its {noun}, '{name}', is of somebody's own: first import or run the module"
        with pytest.raises(ModelError, match=wanted):
            TorchPredictor.load(tmp_path / "model")
        with pytest.raises(RecipeError, match=f"A {noun} of your own is known once"):
            replace(SMALL, **{key: name})
        OWN[key][name] = known


@pytest.mark.parametrize("setting", ["metric", "loss"])
def test_names_that_a_recipe_does_not_know_are_refused_with_those_it_knows(setting, parts):
    name = {"metric": "own_distance", "loss": "own_loss"}[setting]
    with pytest.raises(RecipeError, match=f"{setting} is 'none_such'.*{name}"):
        replace(SMALL, **{setting: "none_such"})


def test_a_command_knows_a_network_of_ones_own(tmp_path, monkeypatch, capsys):
    "By the module that registers it, as a file or by name; without it the message says so."
    (tmp_path / "own_commands.py").write_text(LAYERS.replace("plain_layers", "of_a_command"))
    monkeypatch.chdir(tmp_path)

    def call(*words):
        OWN["arch"].pop("of_a_command", None)
        sys.modules.pop("own_commands", None)
        monkeypatch.setattr(sys, "argv", ["hemidiaphragm", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return end.value.code, capsys.readouterr().err

    small = "--arch of_a_command --cases 10 --side 64 --width 4 --epochs 1 --no-sheets".split()
    code, said = call("train", *small, "--out", "model")
    assert code == 2 and "hemidiaphragm --plugin MODULE" in said
    code, said = call("--plugin", "own_commands.py", "train", *small, "--out", "model")
    assert code == 0, said
    save_picture(phantom(1).image, tmp_path / "radiograph.png")
    code, said = call("predict", "radiograph.png", "--model", "model", "--out", "answers")
    assert code == 2 and "of somebody's own" in said and "--plugin" in said
    # after one epoch it answers every picture alike: known, and refused for that alone
    code, said = call("--plugin", "own_commands", "predict", "radiograph.png", "--model", "model")
    assert "of somebody's own" not in said
    code, said = call("--plugin", "absent_commands", "columns")
    assert code == 2 and "--plugin absent_commands: no module of this name" in said
    OWN["arch"].pop("of_a_command", None)
    sys.modules.pop("own_commands", None)
