"Files of runs and results that a disk or a copy has torn are noticed, run again or named."

import json
import warnings

import pandas as pd
import pytest

from hemidiaphragm_nb.files import DIGESTS, torn_files
from hemidiaphragm_nb.plan import DataSpec, ExperimentError, Plan, Run
from hemidiaphragm_nb.recipes import recipe
from hemidiaphragm_nb.results import export_results, load_results
from hemidiaphragm_nb.store import Store
from hemidiaphragm_nb.workers import run_plan

TINY = recipe(side=64, width=2, epochs=2, batch=4, precision="fp32", tasks=("heatmap",))
RUN = Run("toy", "=β 125", 0, DataSpec(n=20, side=64), TINY)
PLAN = Plan("toy", (RUN,))
PARTS = ("config.json", "summary.json", "cases.csv", "decoders.csv", "history.csv")


def half_of_the_lines(data: bytes) -> bytes:
    lines = data.splitlines(keepends=True)
    return b"".join(lines[: len(lines) // 2])


def half_of_the_bytes(data: bytes) -> bytes:
    return data[: len(data) // 2].rstrip(b"\n")


def one_other_digit(data: bytes) -> bytes:
    at = max(i for i, byte in enumerate(data) if chr(byte).isdigit())
    return data[:at] + (b"1" if data[at : at + 1] != b"1" else b"2") + data[at + 1 :]


@pytest.fixture
def store(tmp_path):
    "A store with one made-up run."
    ids = [f"={i}" for i in range(8)]  # names that a spreadsheet would run
    cases = pd.DataFrame({"id": ids, "right_px": 1.5, "left_px": 2.25, "error_px": 2.0})
    facts = dict(parameters=1, seconds=1, threads=1, device="cpu", bf16=False, git_commit="")
    facts |= {"created": "", "versions": {"torch": ""}, "data": {"fingerprint": ""}}
    own = {"key": RUN.key, "identity": RUN.identity, "analysis": RUN.analysis, "name": RUN.name}
    store = Store(tmp_path / "store")
    store.put(
        RUN,
        {
            "config.json": own | facts | {"epochs": 9},
            "summary.json": {"images": 8, "error_px": 2.0, "R": 99.5},
            "cases.csv": cases,
            "decoders.csv": cases[["id", "right_px", "left_px"]].assign(decoder="tanh"),
            "history.csv": pd.DataFrame({"epoch": range(9), "valid_loss": 0.5}),
        },
    )
    return store


@pytest.mark.parametrize("tear", [half_of_the_lines, half_of_the_bytes, one_other_digit, None])
@pytest.mark.parametrize("name", [*PARTS, DIGESTS])
def test_a_torn_file_of_a_run_is_named_and_the_run_set_aside(store, name, tear):
    assert len(store.results(PLAN).cases) == 8
    path = store.path(RUN) / name
    if tear:
        path.write_bytes(tear(path.read_bytes()))
    else:
        path.unlink()
    if name == DIGESTS and not tear:  # the run is one of before
        assert store.torn(RUN) == []
        return
    if RUN in store:
        with pytest.raises(ExperimentError, match="absent, or not what was written") as error:
            store.results(PLAN)
        assert str(store.path(RUN)) in str(error.value) and "Run its plan again" in str(error.value)
    with pytest.warns(UserWarning, match=f"{RUN.key} is run again"):
        store.prepare(PLAN, retry=False)
    assert RUN not in store and (store.folder / "torn" / RUN.key).exists()


@pytest.mark.parametrize(
    "name, tear",
    [
        *((name, half_of_the_bytes) for name in PARTS),
        ("cases.csv", half_of_the_lines),
        ("history.csv", half_of_the_lines),
    ],
)
def test_a_run_without_digests_is_read_and_half_a_file_of_it_is_noticed(store, name, tear):
    (store.path(RUN) / DIGESTS).unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        store.prepare(PLAN, retry=False)
    assert len(store.results(PLAN).cases) == 8 and store.plan().runs == (RUN,)
    path = store.path(RUN) / name
    path.write_bytes(tear(path.read_bytes()))
    with pytest.raises(ExperimentError, match=name):
        store.results(PLAN)


def test_a_torn_run_is_run_again_with_the_same_outcome(tmp_path):
    store, how = Store(tmp_path / "store"), dict(progress=False, device="cpu", weights=True)
    run_plan(PLAN, store, **how)
    whole = (store.path(RUN) / "cases.csv").read_bytes()
    for name in ("cases.csv", "weights.safetensors"):
        path = store.path(RUN) / name
        path.write_bytes(half_of_the_bytes(path.read_bytes()))
        if name == "weights.safetensors":
            with pytest.raises(ExperimentError, match="weights.safetensors: absent, or not"):
                store.model(RUN)
        with pytest.warns(UserWarning, match="is run again"):
            run_plan(PLAN, store, **how)
        assert (store.path(RUN) / "cases.csv").read_bytes() == whole and store.model(RUN)
    changed = store.path(RUN).stat().st_mtime_ns
    run_plan(PLAN, store, **how)
    assert store.path(RUN).stat().st_mtime_ns == changed, "a whole run was run again"


def test_a_torn_record_of_a_failure_is_named(store):
    broken = Run("toy", "broken", 1, RUN.data, TINY)
    store.fail(broken, ValueError("no such network"))
    store.failure(broken).write_text('{"key": ')
    error = store.status(Plan("two", (RUN, broken)))["error"][1]
    assert str(store.failure(broken)) in error and "--retry" in error


@pytest.mark.parametrize("tear", [half_of_the_lines, half_of_the_bytes, one_other_digit, None])
@pytest.mark.parametrize("name", ["runs.json", "cases.csv", "history.csv"])
def test_a_torn_file_of_exported_results_is_named(store, tmp_path, name, tear):
    folder = export_results(store, tmp_path / "invented/toy", PLAN)
    back = load_results(folder)
    assert back.cases["id"].tolist() == [f"={i}" for i in range(8)] and back.names == [RUN.name]
    path = folder / name
    data = path.read_bytes()
    assert not any(line.startswith((b"=", b'"=')) for line in data.splitlines())
    path.write_bytes(data.replace(b"\n", b"\r\n"))  # as a checkout on Windows has it
    assert len(load_results(folder).cases) == 8
    path.write_bytes(tear(data)) if tear else path.unlink()
    if name == "runs.json" and not tear:  # no results at all
        assert load_results(folder) is None
        return
    with pytest.raises(ExperimentError, match=f"{name}: absent, or not what was written"):
        load_results(folder)


def test_exported_results_without_digests_are_read(store, tmp_path):
    folder = export_results(store, tmp_path / "invented/toy", PLAN)
    (folder / DIGESTS).unlink()
    assert len(load_results(folder).cases) == 8
    (folder / "cases.csv").write_bytes(half_of_the_bytes((folder / "cases.csv").read_bytes()))
    with pytest.raises(ExperimentError, match="cases.csv: absent, or not what was written"):
        load_results(folder)


def test_keys_do_not_change():
    "The folders of stores that are in use are named by them."
    identity = json.dumps(RUN.identity, sort_keys=True)
    assert RUN.key.startswith("beta125-heatmap-alone-r0-") and "digest" not in identity


NO_LIST = ("null", "[]", "{}", '"x"', "1", '{"config.json": 5}', "")


@pytest.mark.parametrize("text", NO_LIST)
def test_a_list_of_digests_that_lists_none_is_torn(store, text):
    listed = store.path(RUN) / DIGESTS
    listed.write_text(text)
    assert torn_files(store.path(RUN)) == [listed] == torn_files(store.path(RUN), ["cases.csv"])
    with pytest.raises(ExperimentError, match=f"{DIGESTS}: absent, or not what was written"):
        store.results(PLAN)
    with pytest.raises(ExperimentError, match="config.json is torn"):
        store.plan()
    with pytest.warns(UserWarning, match="is run again"):
        store.prepare(PLAN, retry=False)


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize("name", ["config.json", "summary.json"])
@pytest.mark.parametrize("text", ["[]", "null", "1", '"x"'])
def test_facts_that_are_no_table_name_their_file(store, name, text, older):
    (store.path(RUN) / name).write_text(text)
    if older:
        (store.path(RUN) / DIGESTS).unlink()
    with pytest.raises(ExperimentError, match=f"{name}: absent, or not what was written"):
        store.results(PLAN)
    if name == "config.json":
        with pytest.raises(ExperimentError, match="config.json is torn"):
            store.plan()


@pytest.mark.parametrize("text", ["[]", "null", "{}", '{"name": "toy", "runs": [1]}'])
def test_a_plan_that_is_none_is_named(tmp_path, text):
    (tmp_path / "toy.json").write_text(text)
    with pytest.raises(ExperimentError, match="toy.json is no plan"):
        Plan.load(tmp_path / "toy.json")


def test_a_run_that_takes_its_process_down_three_times_is_not_started_again(store):
    dying = Run("toy", "dying", 1, RUN.data, TINY)
    folder = store.work(dying)
    folder.mkdir(parents=True, exist_ok=True)
    assert [store.begin(dying, folder) for _ in range(3)] == [1, 2, 3]
    with pytest.raises(ExperimentError, match="3 processes died in epoch 1 .*--retry"):
        store.begin(dying, folder)
