"""Sheets for readers of technical faults, and what is made of their readings."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hemidiaphragm_nb.folders import read_folder, write_folder
from hemidiaphragm_nb.frames import phantom_frames
from hemidiaphragm_nb.results import results_folder
from hemidiaphragm_nb.technical_quality import FAULTS, has_fault, seen_faults
from tools import quality, reviewed_dice


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    folder = tmp_path_factory.mktemp("quality") / "ten"
    return read_folder(write_folder(phantom_frames(10, side=64), folder))


def test_every_reader_sees_every_radiograph_once_in_an_order_of_its_own(table):
    orders = {reader: quality.order_of(table, reader) for reader in quality.READERS}
    for order in orders.values():
        assert sorted(order["id"]) == sorted(table["id"])
        assert order["number"].tolist() == list(range(1, 11))
    assert len({tuple(order["id"]) for order in orders.values()}) == len(orders)


def test_sheets_show_the_radiographs_and_no_name(table, tmp_path):
    quality.write_sheets(table, tmp_path)
    sheets = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.png"))
    assert sheets == [f"{r}/sheet{k:02d}.png" for r in "pqr" for k in (1, 2)]
    first = np.asarray(Image.open(tmp_path / "p/sheet01.png"))
    case = table.set_index("id").loc[quality.order_of(table, "p")["id"].iloc[0]]
    tile = quality.tile(case)
    shown = first[: quality.TILE, : quality.TILE]
    assert np.array_equal(shown, tile[: quality.TILE])
    red = (tile == (255, 60, 60)).all(-1)
    assert red.any() and not red[quality.TILE // 2, quality.TILE // 2]


def test_readings_are_joined_by_number(table, tmp_path):
    marked = table["id"].iloc[3]
    for reader in quality.READERS:
        order = quality.order_of(table, reader)
        faults = np.where((order["id"] == marked) & (reader != "r"), "apex side", "")
        order.assign(faults=faults)[["number", "faults"]].to_csv(
            tmp_path / f"readings_{reader}.csv", index=False
        )
    quality.collect(table, tmp_path, tmp_path / "out")
    read = pd.read_csv(tmp_path / "out/readings.csv", dtype=str).fillna("")
    assert has_fault(read)[marked] and has_fault(read).sum() == 1
    assert seen_faults(read).loc[marked, "cut off"] == 2
    short = pd.read_csv(tmp_path / "readings_q.csv").iloc[:-1]
    short.to_csv(tmp_path / "readings_q.csv", index=False)
    with pytest.raises(SystemExit, match="each number from 1 to 10 once"):
        quality.collect(table, tmp_path, tmp_path / "out")
    for column, wrong in (("number", range(10)), ("number", range(101, 111)), ("faults", "aepx")):
        order.assign(faults="")[["number", "faults"]].assign(**{column: wrong}).to_csv(
            tmp_path / "readings_q.csv", index=False
        )
        with pytest.raises(SystemExit, match="each number|'aepx' is no fault"):
            quality.collect(table, tmp_path, tmp_path / "out")
    (tmp_path / "readings_p.csv").unlink()
    with pytest.raises(SystemExit, match="readings_p.csv is not there"):
        quality.collect(table, tmp_path, tmp_path / "out")


def test_a_lung_gives_way_with_its_landmark():
    mask = np.array([[1, 1, 0, 2, 2]] * 2, np.uint8)
    other = np.array([[0, 1, 1, 1, 2]] * 2, np.uint8)
    whose = pd.Series({"right_from": "prediction", "left_from": "label"})
    again = reviewed_dice.as_reviewed(mask, whose, {"prediction": other})
    # the right lung is the other's, but where the left one stays
    assert again.tolist() == [[0, 1, 1, 2, 2]] * 2
    assert reviewed_dice.dice(mask, mask) == 1
    assert reviewed_dice.dice(mask, np.array([[1, 1, 0, 0, 0]] * 2)) == pytest.approx(8 / 12)


def test_each_lung_is_compared_with_what_readers_chose():
    mask = np.array([[1, 1, 0, 2, 2]] * 2, np.uint8)
    shown = np.array([[0, 1, 1, 2, 2]] * 2, np.uint8)
    third = np.array([[1, 1, 0, 0, 2]] * 2, np.uint8)
    whose = pd.DataFrame(
        {"right_from": ["prediction", ""], "left_from": ["second", "label"]}, index=["a", "b"]
    )
    masks, second = dict.fromkeys("abc", mask), {"a": third}
    read = {"network 1": dict.fromkeys("abc", shown), "network 2": masks}
    rows = reviewed_dice.lung_rows(whose, masks, second, read).set_index(["network", "id", "side"])
    two = rows.loc["network 2"]
    assert (two["published"] == 1).all()  # it answers as the labels say
    assert two.loc[("a", "right"), "reviewed"] == two.loc[("a", "right"), "to_shown"] == 0.5
    assert two.loc[("a", "left"), "reviewed"] == pytest.approx(2 / 3)  # one of two columns and one
    assert two.loc[("b", "left"), "reviewed"] == 1
    assert two["reviewed"].isna().sum() == 3 and len(rows) == 12
    whole = reviewed_dice.dice_rows(whose, masks, second, read)
    assert whole["id"].tolist() == ["a", "a"]  # where a lung gave way
    assert whole["published"].tolist() == [0.75, 1.0]


def test_stored_readings_are_whole():
    folder = results_folder("quality", file="readings.csv")
    if folder is None:
        pytest.skip("needs the saved results")
    read = pd.read_csv(folder / "readings.csv", dtype=str).fillna("")
    cases = pd.read_csv(folder.parent / "crossval/radiographs.csv", dtype={"id": str})
    for _, own in read.groupby("reader"):
        assert sorted(own["id"]) == sorted(cases["id"])
        assert own["number"].astype(int).tolist() == list(range(1, len(own) + 1))
    assert set(" ".join(read["faults"]).split()) <= set(FAULTS)
