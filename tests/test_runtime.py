"Foreign models: a card is validated before anything is built, weights must be numbers."

import json
import math

import numpy as np
import pytest
import torch

from hemidiaphragm_nb.card_checks import CardError, check_card
from hemidiaphragm_nb.export import export_onnx, write_exported
from hemidiaphragm_nb.networks import TorchPredictor, build_net
from hemidiaphragm_nb.recipes import recipe as settings_of
from hemidiaphragm_nb.runtime import (
    ExportError,
    _compiled_folder,
    _varint,
    load_onnx,
    read_exported,
    shipped_folder,
)

BIG = 10**6


def shipped() -> tuple[bytes, dict]:
    "The network that ships: its bytes without the card, and the card."
    data, card = read_exported(shipped_folder() / "fast.onnx")
    return data[: card["network"]["bytes"]], card


def recipe(**changes) -> dict:
    return {"recipe": shipped()[1]["recipe"] | changes}


CHANGES = {
    "beta infinite": (recipe(beta=math.inf), "beta is inf"),
    "beta NaN": (recipe(beta=math.nan), "beta is nan"),
    "beta below 0": (recipe(beta=-5), "beta is -5"),
    "depth": (recipe(depth=BIG), "depth is 1000000"),
    "width": (recipe(width=BIG), "width is 1000000"),
    "width and depth": (recipe(width=200, depth=8), "larger than any network"),
    "side": (recipe(side=BIG), "side is 1000000"),
    "side as text": (recipe(side="256"), "side is '256'"),
    "tasks": (recipe(tasks=["mask", "heatmap"]), "tasks is"),
    "decoder": (recipe(decoder="argmost"), "decoder is 'argmost'"),
    "members": ({"members": [{}] * BIG}, "members is no list of 1 to 32"),
    "number of members": ({"members": BIG}, "members is no list"),
    "radius": ({"radius_factor": -1.0}, "radius_factor is -1"),
    "radius NaN": ({"radius_factor": math.nan}, "radius_factor is nan"),
    "format": ({"format": 2}, "format is 2, not 1"),
    "frame": ({"frame": 1024}, "frame is 1024, not 512"),
    "sides": ({"sides": ["left", "right"]}, "sides is"),
    "metric": (recipe(metric="z"), "metric is 'z'"),
    "lam_hem NaN": (recipe(lam_hem=math.nan), "lam_hem is nan"),
    "lam_segm below 0": (recipe(lam_segm=-1), "lam_segm is -1"),
    "name": (recipe(name=5), "name is 5, not a text"),
    "channels_last": (recipe(channels_last="yes"), "channels_last is 'yes'"),
    "seed below 0": (recipe(seed=-1), "seed is -1, not a whole number"),
    "seed as text": (recipe(seed="x"), "seed is 'x', not a whole number"),
    "seed of halves": (recipe(seed=0.5), "seed is 0.5, not a whole number"),
    "export as text": ({"export": "x"}, "export is 'x', not a table"),
    "export absent": ({"export": None}, "export is None, not a table"),
    "export empty": ({"export": {}}, "does not say how it was exported"),
    "export without precision": ({"export": {"examples": 16}}, "precision is None"),
    "git_commit": ({"git_commit": {"a": 1}}, "git_commit is .*, not a text"),
    "data as list": ({"data": [1]}, "data is .*, not a table"),
    "data as text": ({"data": "phantoms"}, "data is .*, not a table"),
    "cases": ({"data": {"fingerprint": "a", "cases": 5}}, "cases is 5, not a table"),
    "cases' numbers": ({"data": {"cases": {"train": "all"}}}, "train is 'all', not a whole"),
    "fingerprint": ({"data": {"fingerprint": 5}}, "fingerprint is 5, not a text"),
    "trained_on as text": ({"trained_on": "all"}, "trained_on is 'all', not a table"),
    "images no digests": ({"trained_on": {"side": 256, "images": [1]}}, "no list of the images'"),
    "images of no side": ({"trained_on": {"images": ["6f31"]}}, "side is None, not 64 or 128"),
    "members no networks": ({"members": [0] * 3}, "members is no list"),
    "no recipe": ({"recipe": None}, "the card has no recipe"),
}


@pytest.mark.parametrize("change, reason", CHANGES.values(), ids=CHANGES)
def test_a_foreign_card_is_rejected(tmp_path, change, reason):
    body, card = shipped()
    if change != {"export": {}}:  # which is sound in a card of weights for torch
        with pytest.raises(CardError, match=reason):
            check_card(card | change)
    write_exported(tmp_path / "m.onnx", body, card | change)
    with pytest.raises(ExportError, match=reason) as error:
        load_onnx(tmp_path / "m.onnx")
    assert "m.onnx" in str(error.value)


def test_every_reason_is_named_at_once():
    with pytest.raises(CardError) as error:
        check_card(shipped()[1] | recipe(beta=0, depth=0) | {"frame": 1})
    assert str(error.value).count(";") == 2


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30], ids=["NaN", "infinite", "absurd"])
def test_onnx_weights_that_are_no_numbers_are_rejected(tmp_path, value):
    onnx = pytest.importorskip("onnx")
    body, card = shipped()
    model = onnx.load_model_from_string(body)
    floats = [t for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT]
    largest = max(floats, key=lambda tensor: int(np.prod(tensor.dims)))
    array = np.full(tuple(largest.dims), value, np.float32)
    largest.CopyFrom(onnx.numpy_helper.from_array(array, largest.name))
    write_exported(tmp_path / "m.onnx", model.SerializeToString(), card)
    with pytest.raises(ExportError, match="no numbers or beyond"):
        load_onnx(tmp_path / "m.onnx")


# 20: of larger biases bf16 keeps no digit that depends on the picture
@pytest.mark.parametrize("weight, bias, reason", [(0, 1, "the same all"), (None, 20, "beyond 10")])
@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_an_exported_network_that_answers_all_alike_is_rejected(
    tmp_path, weight, bias, reason, engine
):
    pytest.importorskip(engine)
    small = settings_of("fast", side=64, width=4, precision="fp32")
    net = build_net(small)
    torch.nn.init.constant_(net.heads["heatmap"].bias, bias)
    if weight is not None:
        torch.nn.init.constant_(net.heads["heatmap"].weight, weight)
    export_onnx(TorchPredictor(net.eval(), small, {}), tmp_path / "m.onnx")
    with pytest.raises(ExportError, match=f"m.onnx: its weights.*{reason}"):
        load_onnx(tmp_path / "m.onnx", engine)


def test_a_card_that_says_other_tasks_is_rejected(tmp_path):
    body, card = shipped()
    write_exported(tmp_path / "m.onnx", body, card | recipe(tasks=["mask"]))
    with pytest.raises(ExportError, match="2 outputs for the tasks mask"):
        load_onnx(tmp_path / "m.onnx")


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_a_card_that_was_edited_in_the_file_is_rejected(tmp_path, engine):
    "Its lengths, as protobuf writes them, fit no longer: each engine has an error of its own."
    pytest.importorskip(engine)
    body, card = shipped()
    write_exported(tmp_path / "m.onnx", body, card)
    data = (tmp_path / "m.onnx").read_bytes()
    for change in (b"", b'"use": "much longer than what stood here before, "'):
        edited = data.replace(json.dumps({"use": card["use"]})[1:-1].encode(), b"%b" % change)
        edited = edited.replace(b", , ", b", ").replace(b'before, "', b'before"')
        (tmp_path / "m.onnx").write_bytes(edited)
        with pytest.raises(ExportError, match="m.onnx: .*cannot run it"):
            load_onnx(tmp_path / "m.onnx", engine)


def test_a_card_of_weights_without_an_export_is_named(tmp_path):
    body, card = shipped()
    write_exported(tmp_path / "m.onnx", body, {k: v for k, v in card.items() if k != "export"})
    with pytest.raises(ExportError, match="m.onnx: its card does not say how it was exported"):
        load_onnx(tmp_path / "m.onnx")


def test_a_number_without_end_is_rejected_at_once():
    with pytest.raises(ValueError, match="more than ten bytes"):
        _varint(memoryview(b"\xff" * 10**7), 0)


def test_a_card_nested_too_deep_is_damage(tmp_path):
    body, card = shipped()
    write_exported(tmp_path / "m.onnx", body, card)
    data = (tmp_path / "m.onnx").read_bytes()
    text = json.dumps({"use": card["use"]})[1:-1].encode()
    assert text in data
    (tmp_path / "m.onnx").write_bytes(data.replace(text, b'"use": ' + b"[" * 100_000))
    with pytest.raises(ExportError, match="damaged"):
        load_onnx(tmp_path / "m.onnx")


def test_the_compiled_network_is_kept_for_the_next_start(tmp_path, monkeypatch):
    pytest.importorskip("openvino")
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *args, **options: tmp_path)
    frame = np.random.default_rng(0).integers(0, 256, (1, 1, 512, 512), np.uint8)
    compiled = load_onnx(shipped_folder(), "openvino", threads=1).predict(frame)
    (kept,) = tmp_path.rglob("*.blob")
    for content in (kept.read_bytes(), kept.read_bytes()[:5000]):  # whole, torn
        kept.unlink()
        kept.write_bytes(content)
        again = load_onnx(shipped_folder(), "openvino", threads=1).predict(frame)
        np.testing.assert_array_equal(again.heatmaps, compiled.heatmaps)
        np.testing.assert_array_equal(again.lungs, compiled.lungs)


def test_nothing_is_kept_of_other_networks_or_where_it_cannot_be(tmp_path, monkeypatch):
    place = tmp_path / "file" / "cache"
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *args, **options: place)
    (tmp_path / "file").touch()
    assert _compiled_folder(shipped_folder() / "fast.onnx") is None
    (tmp_path / "file").unlink()
    assert _compiled_folder(shipped_folder() / "fast.onnx") == place
    assert _compiled_folder(tmp_path / "fast.onnx") is None
