"What predicts: an export is used while it is of the weights beside it, and no longer."

import json
import shutil
import warnings
from dataclasses import replace

import pytest

from hemidiaphragm_nb.card_checks import ModelError
from hemidiaphragm_nb.export import export_onnx, write_exported
from hemidiaphragm_nb.frames import phantom_frames
from hemidiaphragm_nb.landmarks import split_by_patient
from hemidiaphragm_nb.models import open_predictor
from hemidiaphragm_nb.networks import TorchPredictor, build_net
from hemidiaphragm_nb.recipes import recipe
from hemidiaphragm_nb.run_folder import open_run
from hemidiaphragm_nb.runtime import (
    EXPORTED,
    ExportError,
    OnnxPredictor,
    read_exported,
    shipped_folder,
)
from hemidiaphragm_nb.train import train


def untrained(**settings) -> TorchPredictor:
    "A network as it is before training."
    made = recipe("fast", width=4, **settings)
    return TorchPredictor(build_net(made).eval(), made, {})


@pytest.fixture
def folder(tmp_path):
    "Weights of side 64, and the file exported from them."
    model = untrained(side=64)
    model.save(tmp_path / "M")
    export_onnx(model, tmp_path / "M" / EXPORTED)
    return tmp_path / "M"


@pytest.fixture(autouse=True)
def no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        yield


def test_an_export_of_the_weights_beside_it_is_used(folder):
    assert isinstance(open_predictor(folder), OnnxPredictor)
    TorchPredictor.load(folder).save(folder, half=True)  # as `ensemble` keeps them
    assert isinstance(open_predictor(folder), OnnxPredictor)


@pytest.mark.parametrize("settings", [dict(side=128, seed=5), dict(side=64, seed=5)])
def test_a_stale_export_is_passed_over(folder, settings):
    untrained(**settings).save(folder)
    with pytest.warns(UserWarning, match="fast.onnx is not of the weights and .*Export"):
        found = open_predictor(folder)
    assert isinstance(found, TorchPredictor)
    assert found.card["recipe"]["side"] == settings["side"] and found.recipe.seed == 5
    with pytest.raises(ExportError, match="fast.onnx is not of the weights and .*export_onnx"):
        open_predictor(folder, fast=True)
    named = open_predictor(folder / EXPORTED)  # whoever names the file means it
    assert named.card["recipe"]["side"] == 64


def test_an_export_of_before_is_known_by_its_training(folder):
    data, card = read_exported(folder / EXPORTED)
    old = card | {"export": {"precision": "float"}, "created": "2026-01-01T00:00:00Z"}
    write_exported(folder / EXPORTED, data[: card["network"]["bytes"]], old)
    facts = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps(facts | {"created": old["created"]}))
    assert isinstance(open_predictor(folder), OnnxPredictor)
    (folder / "card.json").write_text(json.dumps(facts | {"created": "2026-01-02T00:00:00Z"}))
    with pytest.warns(UserWarning, match="not of the weights"):
        assert isinstance(open_predictor(folder), TorchPredictor)


def test_the_folder_that_ships_goes_on_working(tmp_path):
    shutil.copytree(shipped_folder(), tmp_path / "copy")
    for model in (shipped_folder(), tmp_path / "copy"):
        assert isinstance(open_predictor(model), OnnxPredictor)


@pytest.mark.parametrize("change", [{"radius_factor": 1.2}, {"recipe": {"decoder": "argmin"}}])
def test_an_export_whose_card_is_of_before_is_stale(folder, change):
    facts = json.loads((folder / "card.json").read_text())
    change = change | {"recipe": facts["recipe"] | change.get("recipe", {})}
    (folder / "card.json").write_text(json.dumps(facts | change))
    with pytest.warns(UserWarning, match="not of the weights and the card"):
        assert isinstance(open_predictor(folder), TorchPredictor)


def test_an_export_alone_is_used(folder):
    (folder / "weights.safetensors").unlink()
    assert isinstance(open_predictor(folder), OnnxPredictor)


@pytest.mark.parametrize(
    "text",
    ["", '{"for', "null", "[]", "recipe", "format", "frame"],
    ids=lambda text: text or "empty",
)
def test_a_card_that_cannot_be_read_is_an_error_though_an_export_lies_beside_it(folder, text):
    path = folder / "card.json"
    change = {"recipe": {"recipe": []}, "format": {"format": 99}, "frame": {"frame": 1024}}
    if text in change:
        text = json.dumps(json.loads(path.read_text()) | change[text])
    path.write_text(text)
    errors = []
    for how in ({}, {"fast": True}, {"torch": True}):
        with pytest.raises(ModelError, match="no usable model .card.json: ") as error:
            open_predictor(folder, **how)
        errors.append(str(error.value))
    assert len(set(errors)) == 1 and str(folder) in errors[0]


@pytest.mark.parametrize("kept", [0, 4, 100, 0.5, -1])
@pytest.mark.parametrize("digest", [True, False])
def test_torn_weights_beside_an_export_are_an_error(folder, kept, digest):
    path = folder / "weights.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept) if kept == 0.5 else kept])
    if not digest:  # of an older version: the numbers are not compared
        data, card = read_exported(folder / EXPORTED)
        facts = json.loads((folder / "card.json").read_text())
        old = facts | {k: card[k] for k in ("network",)} | {"export": {"precision": "float"}}
        write_exported(folder / EXPORTED, data[: card["network"]["bytes"]], old)
    with pytest.raises(ModelError, match="no usable model .weights.safetensors: "):
        open_predictor(folder)


def test_an_export_with_its_card_alone_is_used(folder):
    (folder / "card.json").unlink()
    assert isinstance(open_predictor(folder), OnnxPredictor)
    shutil.copy(folder / EXPORTED, folder.parent)
    assert isinstance(open_predictor(folder.parent), OnnxPredictor)


def test_a_fresh_training_takes_the_old_export_away(folder, tmp_path):
    open_run(folder, {"recipe": "another"})
    assert (folder / EXPORTED).exists()
    frames = phantom_frames(8, seed=1, side=64)
    split = split_by_patient(frames.table, seed=0)
    tiny = replace(untrained(side=64).recipe, epochs=1)
    train(frames, split, tiny, out=folder, resume=False, progress=False, device="cpu")
    assert not (folder / EXPORTED).exists()
    assert isinstance(open_predictor(folder), TorchPredictor)
