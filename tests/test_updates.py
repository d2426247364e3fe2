"The study of updates: it trains as the library does, survives kills, and reads its former exports."

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from fastai.callback.core import Callback
from safetensors.torch import load_file, save_file

from hemidiaphragm_nb import together, together_runs, update_curves, updates
from hemidiaphragm_nb.checkpoint import checkpoint_rows
from hemidiaphragm_nb.landmarks import split_by_patient
from hemidiaphragm_nb.networks import TorchPredictor, build_net, weights_hash
from hemidiaphragm_nb.plan import data_spec, load_data
from hemidiaphragm_nb.recipes import Recipe
from hemidiaphragm_nb.train import train
from hemidiaphragm_nb.update_curves import BASE, MARKS, Curve, planned_curves
from hemidiaphragm_nb.updates import run_updates, study_data

SAVED = Path(__file__).resolve().parents[1] / "results" / "covid_cxr" / "updates"
PHANTOMS = data_spec("phantom", side=64, n=20, seed=0)
TINY = replace(BASE, side=64, width=4)
BOTH = dict(tasks=("heatmap", "mask"), beta=125.0)
CHANGES = [{}, BOTH | {"batch": 5}, {"batch": 4, "schedule": "one_cycle"}]


@pytest.fixture
def data():
    torch.set_num_threads(1)
    return study_data(PHANTOMS, 64)


class Interrupt(Callback):
    "Ctrl-C after so many updates."

    order = 99

    def __init__(self, after: int):
        self.left = after

    def after_batch(self):
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


def trained(curve: Curve, data, folder: Path, cbs=()) -> tuple[TorchPredictor, list]:
    "The network and the exported rows of a curve."
    network = updates.train_curve(curve, data, folder / "store", folder / "out", {}, str, cbs)
    return network, exported(curve, folder)["curve"]


def exported(curve: Curve, folder: Path) -> dict:
    path = folder / "out" / "runs" / f"{curve.key}.json"
    return json.loads(path.read_text(encoding="utf-8"))


def test_keys_name_what_decides_the_numbers():
    cycle = replace(BASE, schedule="one_cycle")
    named = replace(BASE, epochs=7, name="x")
    assert Curve("a", BASE, 3200).key == Curve("b", named, 9850).key
    assert Curve("a", cycle, 3200).key != Curve("a", cycle, 9850).key
    assert Curve("a", BASE, 3200).key != Curve("a", replace(BASE, seed=1), 3200).key


def test_the_plan_only_prolongs():
    longest = {}
    for curve in planned_curves():
        assert curve.updates in (*MARKS, 7880) and curve.updates > longest.get(curve.key, 0)
        longest[curve.key] = curve.updates


def test_the_test_part_is_not_there(data):
    frames = load_data(PHANTOMS)
    split = split_by_patient(frames.table, seed=0)
    for name in ("train", "valid"):
        ids = frames.table["id"].iloc[split[name]].tolist()
        assert getattr(data, name).table["id"].tolist() == ids


def test_what_is_measured(data):
    row = updates.evaluate_frames(TorchPredictor(build_net(TINY), TINY), data.valid)
    assert row["both_R/10_tanh"] == row["both_R/10"] and row["dice"] is None
    both = replace(TINY, **BOTH)
    assert updates.evaluate_frames(TorchPredictor(build_net(both), both), data.valid)["dice"] >= 0


@pytest.mark.extra
@pytest.mark.parametrize("changes", CHANGES)
def test_trains_as_the_library_does(data, tmp_path, changes):
    recipe = replace(TINY, epochs=2, **changes)
    n = 2 * (len(data.train) // recipe.batch)
    network, _ = trained(Curve("test", recipe, n), data, tmp_path)
    frames = load_data(PHANTOMS)
    split = split_by_patient(frames.table, seed=0)
    expected = train(frames, split, recipe, progress=False, device="cpu")
    assert weights_hash(network.net) == weights_hash(expected.net)


@pytest.mark.parametrize("changes", CHANGES)
def test_goes_on_with_the_same_bits(data, tmp_path, monkeypatch, changes):
    recipe = replace(TINY, augmentation="strong", **{"batch": 2} | changes)
    curve = Curve("test", recipe, 23)
    whole, rows = trained(curve, data, tmp_path / "whole")
    monkeypatch.setattr(updates, "_SAVE_EVERY", 0.0)
    with pytest.raises(KeyboardInterrupt):
        trained(curve, data, tmp_path / "broken", [Interrupt(17)])
    resumed, same_rows = trained(curve, data, tmp_path / "broken")
    assert weights_hash(resumed.net) == weights_hash(whole.net) and same_rows == rows


@pytest.mark.extra
def test_goes_on_from_a_checkpoint_of_the_first_runner(data, tmp_path, monkeypatch):
    curve = Curve("test", replace(TINY, batch=2), 23)
    whole, rows = trained(curve, data, tmp_path / "whole")
    monkeypatch.setattr(updates, "_SAVE_EVERY", 0.0)
    with pytest.raises(KeyboardInterrupt):
        trained(curve, data, tmp_path / "broken", [Interrupt(17)])
    path = tmp_path / "broken" / "store" / curve.key / "checkpoint.safetensors"
    state = checkpoint_rows(path) | {"generator": "00"}  # it stored one, which is not needed
    save_file(load_file(path), path, {"state": json.dumps(state)})
    resumed, same_rows = trained(curve, data, tmp_path / "broken")
    assert weights_hash(resumed.net) == weights_hash(whole.net) and same_rows == rows


PROGRAM = """
from dataclasses import replace
from hemidiaphragm_nb import updates
from hemidiaphragm_nb.plan import data_spec
from hemidiaphragm_nb.update_curves import BASE, Curve

updates._SAVE_EVERY = 0.0
if __name__ == "__main__":
    curve = Curve("test", replace(BASE, side=64, width=4), {n})
    run_on = data_spec("phantom", side=64, n=20, seed=0)
    updates.run_updates([curve], run_on, {store!r}, {out!r})
"""


def test_killed_without_warning(data, tmp_path):
    curve = Curve("test", TINY, 400)
    store, out = tmp_path / "killed" / "store", tmp_path / "killed" / "out"
    program = PROGRAM.format(n=curve.updates, store=str(store), out=str(out))
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.DEVNULL)
    path = store / curve.key / "checkpoint.safetensors"
    while not path.exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert 0 < checkpoint_rows(path)["update"] < curve.updates
    run_updates([curve], PHANTOMS, store, out)  # the dead process's claim is free
    _, rows = trained(curve, data, tmp_path / "whole")
    assert exported(curve, tmp_path / "killed")["curve"] == rows


@pytest.mark.extra
def test_an_export_that_was_lost_is_written_from_the_checkpoint(data, tmp_path):
    curve = Curve("test", TINY, 12)
    _, rows = trained(curve, data, tmp_path)
    (tmp_path / "out" / "runs" / f"{curve.key}.json").unlink()
    assert trained(curve, data, tmp_path)[1] == rows


@pytest.mark.extra
def test_a_shorter_curve_replaces_no_longer_one(data, tmp_path):
    curve = Curve("test", TINY, 12)
    _, rows = trained(curve, data, tmp_path)
    longer = exported(curve, tmp_path) | {"curve": rows + rows}
    update_curves.export_curve(tmp_path / "out", longer)
    update_curves.export_curve(tmp_path / "out", longer | {"curve": rows})
    assert exported(curve, tmp_path)["curve"] == rows + rows


@pytest.mark.extra
def test_done_failed_and_claimed(tmp_path, capsys):
    good, bad = Curve("good", TINY, 12), Curve("bad", replace(TINY, metric="taxicab"), 12)
    store, out = tmp_path / "store", tmp_path / "out"
    report = run_updates([good, bad], PHANTOMS, store, out)
    assert report["state"].tolist() == ["complete", "open"]
    assert report["failed"].tolist() == [False, True]
    assert "taxicab" in (store / bad.key / "failed.txt").read_text(encoding="utf-8")
    capsys.readouterr()
    run_updates([good, bad], PHANTOMS, store, out)
    assert not capsys.readouterr().out  # nothing is trained a second time
    places = updates._Store(store)
    with places.claim(bad):
        assert updates._attempt(bad, places, None, out, {}) == "claimed"


def test_saved_exports_are_read(data, tmp_path):
    curves = update_curves.load_curves(SAVED)
    stored = pd.read_csv(SAVED / "updates.csv", keep_default_na=False, na_values=[""])
    assert (
        list(update_curves.current_row(dict.fromkeys(stored)))
        == curves.columns.drop("cpu_seconds").tolist()
    )
    tiny = Curve("test", TINY, 12)
    updates.train_curve(tiny, data, tmp_path / "store", tmp_path / "out")
    now = exported(tiny, tmp_path)
    for path in (SAVED / "runs").glob("*.json"):
        known = json.loads(path.read_text(encoding="utf-8"))
        recipe = Recipe(**known["recipe"])
        assert Curve(known["question"], recipe, known["updates_planned"]).key == known["key"]
        assert [k for k in known if k not in ("device", "gpu")] == list(now)
        assert list(update_curves.current_row(known["curve"][0])) == list(now["curve"][0])
    assert len(update_curves.plot_curves(curves).axes) == 9


def test_no_curves(tmp_path):
    with pytest.raises(ValueError, match="holds no curves"):
        update_curves.load_curves(tmp_path)


NO_EXPORTS = {"": "torn", "half": "torn"}
NO_EXPORTS |= dict.fromkeys(["[]", "{}", '{"key": "a", "curve": []}'], "no export of a curve")


@pytest.mark.parametrize("text, reason", NO_EXPORTS.items())
def test_what_is_no_export_is_named(tmp_path, text, reason):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "a.json").write_text(text)
    with pytest.raises(ValueError, match=rf"a\.json is {reason}; call"):
        update_curves.load_curves(tmp_path)


def test_curves_beside_each_other_are_not_trained_again(data, tmp_path, monkeypatch):
    "On the CPU, with the exports of one that `run_updates` made."
    short, long = Curve("test", TINY, 12), Curve("test", replace(TINY, batch=2), 120)
    run_updates([short], PHANTOMS, tmp_path / "store", tmp_path / "out")
    (tmp_path / "out" / "summary.md").unlink()
    how = dict(device="cpu", workers=1)
    made = together_runs.curves_together([short, long], PHANTOMS, tmp_path / "out", **how)
    assert made["state"].tolist() == ["complete", "complete"]
    assert "device" not in exported(short, tmp_path)  # the export of before
    assert exported(long, tmp_path)["device"] == "cpu"
    assert [row["update"] for row in exported(long, tmp_path)["curve"]] == [100, 120]
    summary = (tmp_path / "out" / "summary.md").read_text(encoding="utf-8")
    assert short.key in summary and long.key in summary
    monkeypatch.setattr(together, "_Cohort", None)  # whoever trains now fails
    again = together_runs.curves_together([short, long], PHANTOMS, tmp_path / "out", **how)
    assert again["state"].tolist() == ["complete", "complete"]


def test_a_curve_is_exported_when_it_ends(data, tmp_path, monkeypatch):
    "An interruption costs those alone that are still trained."
    first, second = Curve("test", TINY, 12), Curve("test", replace(TINY, batch=2), 12)
    wanted = together_runs.train_together

    def interrupted(jobs, *how):
        for found in wanted(jobs, *how):
            yield found
            raise KeyboardInterrupt

    monkeypatch.setattr(together_runs, "train_together", interrupted)
    with pytest.raises(KeyboardInterrupt):
        together_runs.curves_together(
            [first, second], PHANTOMS, tmp_path / "out", device="cpu", workers=1
        )
    table = update_curves.plan_table([first, second], tmp_path / "out")
    assert sorted(table["state"]) == ["complete", "open"]
