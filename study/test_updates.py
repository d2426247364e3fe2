"The study trains as the library does, and a broken-off curve ends with the same numbers."

import json
from dataclasses import replace

import pytest
import torch
import updates
from safetensors.torch import load_file

from hemidiaphragm_nb.datasets import phantom_frames, split_by_patient
from hemidiaphragm_nb.learner import train

BOTH = dict(tasks=("heatmap", "mask"), beta=125.0)


@pytest.fixture
def data(monkeypatch):
    torch.set_num_threads(1)
    frames = phantom_frames(20, 0, 64)
    split = split_by_patient(frames.table, seed=0)
    monkeypatch.setattr(updates, "load", lambda data, side: (frames, split))
    return frames, split


def trained(curve, folder) -> tuple[dict, list]:
    "Weights and rows of a finished curve."
    updates.train_curve(curve, folder, folder / "store", folder / "results", {})
    tensors = load_file(folder / "store" / curve.key / "checkpoint.safetensors")
    note = json.loads((folder / "results" / "runs" / f"{curve.key}.json").read_text())
    assert note["complete"]
    return {k[4:]: v for k, v in tensors.items() if k.startswith("net.")}, note["curve"]


@pytest.mark.parametrize(
    "changes", [{}, BOTH | {"batch": 5}, {"batch": 4, "schedule": "one_cycle"}]
)
def test_trains_as_the_library_does(data, tmp_path, changes):
    frames, split = data
    recipe = replace(updates.BASE, side=64, width=4, epochs=2, **changes)
    n = 2 * (len(split["train"]) // recipe.batch)
    got, _ = trained(updates.Curve("test", recipe, n), tmp_path)
    expected = train(frames, split, recipe, progress=False).net.state_dict()
    assert all(torch.equal(got[k], v) for k, v in expected.items())


def test_goes_on_with_the_same_bits(data, tmp_path, monkeypatch):
    recipe = replace(updates.BASE, side=64, width=4, batch=2, augmentation="strong", **BOTH)
    curve = updates.Curve("test", recipe, 23)
    whole, rows = trained(curve, tmp_path / "whole")
    step, count = updates.one_update, iter(range(17))

    def broken(*arguments):
        next(count)  # StopIteration after 17 updates
        return step(*arguments)

    monkeypatch.setattr(updates, "SAVE_EVERY", 0.0)
    monkeypatch.setattr(updates, "one_update", broken)
    with pytest.raises(StopIteration):
        trained(curve, tmp_path / "broken")
    monkeypatch.setattr(updates, "one_update", step)
    again, same_rows = trained(curve, tmp_path / "broken")
    assert all(torch.equal(again[k], v) for k, v in whole.items()) and rows == same_rows
