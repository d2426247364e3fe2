"Exported networks of every shape answer as torch does; weights quantised to 7 bits."

import numpy as np
import onnx
import pandas as pd
import pytest
import torch
from typer.main import get_command

from hemidiaphragm_nb import cli
from hemidiaphragm_nb.evaluate import evaluate
from hemidiaphragm_nb.export import (
    check_export,
    compare_accuracy,
    export_onnx,
    fold_batch_norm,
    quantise,
    quantise_weights,
    to_onnx,
)
from hemidiaphragm_nb.folders import read_folder, real_data_folder
from hemidiaphragm_nb.frames import phantom_frames
from hemidiaphragm_nb.networks import TorchPredictor, build_net, ensemble
from hemidiaphragm_nb.recipes import recipe
from hemidiaphragm_nb.runtime import (
    ExportError,
    load_onnx,
    read_exported,
    shipped_folder,
    shipped_predictor,
)
from tools import eight_bit
from tools.project import ROOT

SHAPES = {
    "U-Net": (dict(side=64, width=4), "float"),
    "ImageNet encoder": (dict(arch="lite0", side=64, width=4), "int8"),
    "instance norm": (dict(side=64, width=4, depth=3, norm="instance"), "int8"),
    "largest side": (dict(side=512, width=2, depth=1, norm="group"), "float"),
    "shared heatmap": (
        dict(side=64, width=4, tasks=("heatmap",), shared=True, norm=None),
        "int8",
    ),
    "one mask": (dict(side=128, width=2, tasks=("mask",), mask_channels=1), "int8"),
}


def untrained(**settings) -> TorchPredictor:
    "A network as it is before training."
    made = recipe("fast", **settings)
    return TorchPredictor(build_net(made).eval(), made, {})


@pytest.fixture(scope="module")
def frames():
    return phantom_frames(2, seed=40)


def assert_exports(model, precision, frames, folder):
    "The exported network's outputs are those of torch, up to additions or quantisation."
    file = export_onnx(model, folder / "network.onnx", precision, frames=frames)
    found = check_export(model, load_onnx(file, arithmetic="f32"), frames)
    differences = [found[name] for name in ("heatmap", "mask") if name in found]
    assert len(differences) == len(model.recipe.tasks)
    assert max(differences) < (1e-3 if precision == "float" else 0.15), found
    assert precision == "float" or max(differences) > 1e-6, "nothing was quantised"


@pytest.mark.parametrize("shape", SHAPES)
def test_networks_of_other_shapes(shape, frames, tmp_path):
    settings, precision = SHAPES[shape]
    assert_exports(untrained(**settings), precision, frames, tmp_path)


def test_an_ensemble_whose_maps_have_the_full_side(frames, tmp_path):
    both = ensemble([untrained(side=64, width=4, seed=seed) for seed in range(2)])
    assert_exports(both, "int8", frames, tmp_path)


@pytest.mark.filterwarnings("ignore:invalid value")  # an untrained network is infinitely far off
def test_every_frame_is_predicted_once_by_each(frames, tmp_path):
    model = untrained(side=64, width=4)
    exported = load_onnx(export_onnx(model, tmp_path / "network.onnx"), arithmetic="f32")
    expected = check_export(model, exported, frames)
    errors = [evaluate(frames, p).compute("fused") for p in (model, exported)]
    asked = []

    def counted(predict):
        return lambda images, *how: asked.append(len(images)) or predict(images, *how)

    for predictor in (model, exported):
        predictor.predict = counted(predictor.predict)
    found = compare_accuracy(model, exported, frames)
    assert sum(asked) == 2 * len(frames)
    assert {name: found[name] for name in expected} == expected
    change = errors[1]["error_px_median"] - errors[0]["error_px_median"]
    assert found["median error, fused: change, px"] == pytest.approx(change, nan_ok=True)
    assert found["Dice against truth: change"] == errors[1]["dice"] - errors[0]["dice"]


@pytest.mark.parametrize("axis", [0, 1])
def test_weights_use_the_whole_of_7_bits_in_each_channel(axis):
    w = torch.randn(3, 4, 5, 5, generator=torch.Generator().manual_seed(0)).numpy()
    q, scales = quantise_weights(w, axis)
    others = tuple(i for i in range(4) if i != axis)
    assert np.abs(q.astype(int)).max(others).tolist() == [64] * w.shape[axis]
    shaped = np.expand_dims(scales, others)
    assert np.abs(q * shaped - w).max() <= scales.max() / 2 * 1.001


def test_weights_of_zero_stay_zero():
    q, scales = quantise_weights(np.zeros((2, 1, 1, 1), np.float32), 0)
    assert not q.any() and np.isfinite(scales).all()


def test_quantising_leaves_the_network_as_it_was(frames):
    "`onnxruntime.quantization` empties a proto that it is given."
    model = untrained(side=64, width=4)
    proto = to_onnx(fold_batch_norm(model.net), 64, model.recipe.tasks)
    before = proto.SerializeToString()
    images = frames.at(64).images
    first, second = (quantise(proto, images).SerializeToString() for _ in range(2))
    assert proto.SerializeToString() == before and first == second
    onnx.checker.check_model(onnx.load_from_string(first))


def test_exporting_leaves_the_network_as_it_was(frames, tmp_path):
    model = untrained(side=64, width=4)
    before = {name: value.clone() for name, value in model.net.state_dict().items()}
    export_onnx(model, tmp_path / "network.onnx", "int8", frames=frames)
    after = model.net.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_an_unknown_precision_is_rejected_and_nothing_written(tmp_path):
    with pytest.raises(ExportError, match="float.*int8"):
        export_onnx(untrained(side=64, width=4), tmp_path / "network.onnx", "int4")
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_file_as_it_was(frames, tmp_path, monkeypatch):
    file = tmp_path / "network.onnx"
    model = untrained(side=64, width=4)
    export_onnx(model, file)
    before = file.read_bytes()
    monkeypatch.setattr("hemidiaphragm_nb.files.os.replace", lambda *paths: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export_onnx(model, file)
    assert file.read_bytes() == before


def test_the_file_that_ships_is_whole():
    data, card = read_exported(shipped_folder() / "fast.onnx")
    assert card["export"]["precision"] == "int8" and "members" not in card  # one network
    assert card["network"]["bytes"] < len(data)


def test_what_8_bits_move_is_said_as_it_was_measured():
    table = pd.read_csv(eight_bit.RESULTS / "int8.csv", dtype={"id": str})
    cases = pd.read_csv(eight_bit.RESULTS / "test_cases.csv", dtype={"id": str})
    assert table["id"].tolist() == cases["id"].tolist()
    said = eight_bit.in_words(table)
    [torch] = [p for p in get_command(cli.app).commands["predict"].params if p.name == "torch"]
    assert said in torch.help
    assert said in " ".join((ROOT / "CHANGELOG.md").read_text("utf-8").split())


@pytest.mark.extra
@pytest.mark.skipif(real_data_folder() is None, reason="needs the radiographs")
def test_what_8_bits_move_is_what_they_move():
    "On any processor, about as much."
    table = pd.read_csv(eight_bit.RESULTS / "int8.csv", dtype={"id": str})[::8]
    cases = read_folder(real_data_folder()).set_index("id").loc[table["id"]].reset_index()
    floats = TorchPredictor.load(shipped_folder())
    again = eight_bit.moves(cases, floats, shipped_predictor())[eight_bit.MOVES].to_numpy()
    assert abs(np.median(again) - np.median(table[eight_bit.MOVES])) < 0.3
