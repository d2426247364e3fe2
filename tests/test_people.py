"One person in one part: which images of the stored results do not count, and that none is missed."

import pandas as pd
import pytest

from hemidiaphragm_nb import crossval
from hemidiaphragm_nb.cases import SAME_PERSON
from hemidiaphragm_nb.execute import run_split
from hemidiaphragm_nb.folders import load_frames, read_folder, real_data_folder, write_folder
from hemidiaphragm_nb.frames import phantom_frames
from hemidiaphragm_nb.plan import Plan, data_spec
from hemidiaphragm_nb.results import saved_patients, saved_results
from hemidiaphragm_nb.store import Store, _by_patient
from hemidiaphragm_nb.study import repeated
from tools import parted


def test_the_list_of_parted_images_is_that_of_the_splits():
    folder = real_data_folder()
    if folder is None:
        pytest.skip("the real radiographs are not here")
    pd.testing.assert_frame_equal(
        pd.read_csv(parted.PARTED, dtype={"id": str}), parted.parted_table(folder)
    )


def test_no_figure_of_an_analysis_learned_from_another_image_of_its_person():
    table = pd.read_csv(parted.PARTED)
    assert set(table.loc[table["learned"] == "yes", "analysis"]) <= {"transfer"}
    held_out = saved_results("transfer").cases.query("group in ('held_out', 'kept')")
    assert not set(held_out["id"]) & set(table.query("analysis == 'transfer'")["id"])


def test_a_person_counts_once():
    patients = saved_patients()
    assert len(patients) == 328 and patients["patient_id"].nunique() == 195


def test_new_plans_keep_a_person_together_and_old_ones_mean_what_they_meant(tmp_path):
    frames = phantom_frames(24, side=64)
    ids = frames.table["id"].tolist()
    more = [i for i, (patient, _) in SAME_PERSON.items() if patient == "196"]
    ids[:5] = ["2f7013fadb", "92d1e5d937", *more[:3]]
    who = ["192", "192", "196", "196", "196", *ids[5:]]
    frames.table = frames.table.assign(id=ids, patient_id=who)
    folder = write_folder(frames, tmp_path / "set")
    plan = repeated("saturation", {"β 125": {}}, folder, repeats=12)
    assert plan.runs[0].data == data_spec(folder, plan.runs[0].data.side)
    assert plan.runs[0].data.people == "1"
    plan.save(tmp_path / "plan.json")
    assert [r.key for r in Plan.load(tmp_path / "plan.json")] == [r.key for r in plan]
    table, apart = load_frames(read_folder(folder), 64, progress=False).table, 0
    assert Store(tmp_path / "store").as_begun(plan) == plan
    for run in plan:
        new, old = run_split(run, table), run_split(_by_patient(run), table)
        assert sum(bool({0, 1, 2, 3, 4} & set(rows)) for rows in new.values()) == 1
        apart += sum(bool({0, 1, 2, 3, 4} & set(rows)) for rows in old.values()) > 1
        assert _by_patient(run).key != run.key and "people" not in _by_patient(run).identity["data"]
    assert apart


def test_an_ensemble_is_tested_on_what_its_store_left_out(tmp_path, monkeypatch):
    "Where networks were split by patient alone, so is their test: none of it was trained on."
    frames = phantom_frames(24, side=64)
    who = [f"p{i // 2}" for i in range(24)]
    person = ["p0" if p == "p9" else p for p in who]
    frames.table = frames.table.assign(patient_id=who, person=person)
    monkeypatch.setattr(crossval, "whole_frames", lambda data, scale: frames)
    tested = {}
    for name, of in (("now", lambda run: run), ("before", _by_patient)):
        monkeypatch.setattr(
            Store, "as_begun", lambda self, plan, of=of: Plan(plan.name, tuple(map(of, plan)))
        )
        (run, *_) = map(of, crossval.ship_plan("phantom"))
        split = run_split(run, frames.table)
        tested[name] = crossval.ship_test("phantom", "quick", tmp_path).table["id"].tolist()
        assert tested[name] == frames.table["id"].iloc[split["test"]].tolist()
        assert not set(tested[name]) & set(frames.table["id"].iloc[split["train"]])
