"Each column of a real table is described, and the table keeps to the schema beside it."

import csv
import json
import re

import cv2
import nbformat
import pytest
from typer.testing import CliRunner

from hemidiaphragm_nb.cli import app
from hemidiaphragm_nb.columns import (
    ALL_COLUMNS,
    PAGE_COLUMNS,
    PREDICTED,
    RESOURCE,
    table_resource,
    table_schema,
)
from hemidiaphragm_nb.dicom_source import write_example
from hemidiaphragm_nb.inputs import is_result
from hemidiaphragm_nb.phantom import phantom
from hemidiaphragm_nb.prediction_table import read_table
from hemidiaphragm_nb.record_schema import record_schema
from hemidiaphragm_nb.spacings import SPACING_SOURCES
from hemidiaphragm_nb.writers import predict_folder
from tools import page_facts
from tools.project import ROOT

# Data Package 2.0, Table Schema: the constraints that each type may have
CONSTRAINTS = {
    "string": {"required", "unique", "pattern", "enum", "minLength", "maxLength"},
    "number": {"required", "unique", "enum", "minimum", "maximum"},
    "integer": {"required", "unique", "enum", "minimum", "maximum"},
}
READ = {"string": str, "number": float, "integer": int}


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    "A table of a whole radiograph with spacing, one without, one rotated, and one of nothing."
    folder = tmp_path_factory.mktemp("columns")
    (folder / "in").mkdir()
    grey = phantom(3, side=256).image
    header = dict(PixelSpacing=[1.4, 1.4], ViewPosition="AP")
    write_example(folder / "in/a.dcm", grey, **header)
    for name, image in (("b", grey), ("=c", grey.T), ("d", grey // 64)):
        data = cv2.imencode(".png", image)[1].tobytes()
        (folder / "in" / f"{name}.png").write_bytes(data)
    assert predict_folder([str(folder / "in")], folder / "out", writers=[]) == []
    return folder / "out"


def test_each_column_of_a_table_is_described_and_nothing_else(out):
    with open(out / "predictions.csv", newline="", encoding="utf-8") as file:
        header = next(csv.reader(file))
    assert header == [column.name for column in ALL_COLUMNS]
    assert all(len(column.meaning) > 10 for column in ALL_COLUMNS)
    assert len({column.meaning for column in ALL_COLUMNS}) == len(ALL_COLUMNS)
    assert header[:8] == "file right_x right_y left_x left_y gap_px gap_mm warnings".split()


def test_names_and_units_agree():
    ends = {"_px": "px of the image", "_mm": "mm", "_px2": "px² of the image", "_mm2": "mm²"}
    ends |= {"_px512": "px of the 512-px frame", "_ratio": "1 (a ratio)", "_x": "px of the image"}
    for column in ALL_COLUMNS:
        for end, unit in ends.items():
            if column.name.endswith(end) and column.name != "spacing_mm":
                assert column.unit == unit, column
    assert {column.name for column in ALL_COLUMNS if not column.unit} == {
        column.name for column in ALL_COLUMNS if column.type == "string"
    }


def test_the_resource_keeps_to_the_published_rules(out):
    "https://datapackage.org/standard/data-resource and /table-schema, as far as they reach here."
    resource = json.loads((out / RESOURCE).read_text(encoding="utf-8"))
    assert resource == table_resource() and resource["schema"] == table_schema()
    assert resource["$schema"] == "https://datapackage.org/profiles/2.0/dataresource.json"
    assert re.fullmatch(r"[a-z0-9._-]+", resource["name"])
    assert resource["type"] == "table" and (out / resource["path"]).exists()
    fields = resource["schema"]["fields"]
    names = [field["name"] for field in fields]
    assert len(set(names)) == len(names)
    assert set(resource["schema"]["primaryKey"]) <= set(names)
    for field in fields:
        constraints = field.get("constraints", {})
        assert set(constraints) <= CONSTRAINTS[field["type"]]
        read = READ[field["type"]]
        for value in (*constraints.get("enum", ()), constraints.get("minimum")):
            assert value is None or read(value) == value
        assert all(isinstance(field[k], str) for k in ("description", "unit") if k in field)


def test_the_table_keeps_to_the_schema_beside_it(out):
    schema, rows = table_schema(), read_table(out)
    seen = set()
    for row in rows:
        for field in schema["fields"]:
            cell, limits = row[field["name"]], field.get("constraints", {})
            if cell in schema["missingValues"]:
                assert not limits.get("required")
                continue
            value = READ[field["type"]](cell)
            seen.add(field["name"])
            assert value >= limits.get("minimum", value), field["name"]
            assert value in limits.get("enum", [value])
    assert len({row["results"] for row in rows}) == len(rows) == 4
    assert len(seen) > len(schema["fields"]) - 8, "most columns are seen with a value"


def test_the_command_names_each_column_with_its_unit():
    lines = CliRunner().invoke(app, ["columns"]).output.splitlines()
    described = (*ALL_COLUMNS, *PAGE_COLUMNS)
    assert len(lines) == len(described)
    for line, column in zip(lines, described):
        assert line.startswith(column.name) and column.meaning in line and column.unit in line
    printed = CliRunner().invoke(app, ["columns", "--json"]).output
    assert json.loads(printed) == table_schema()


def test_the_page_leads_to_what_the_columns_of_its_table_mean():
    text = page_facts.COLUMNS.read_text(encoding="utf-8")
    assert text == page_facts.column_text(), "run `python -m tools.page_facts`"
    assert text.isascii(), "servers do not say in which encoding a text is"
    web = page_facts.COLUMNS.parent
    facts = json.loads((web / "src/facts.json").read_text(encoding="utf-8"))
    own = re.search(
        r"\[\.\.\.FACTS\.columns, (.*?)\]", (web / "src/radiograph.js").read_text("utf-8")
    )
    saved = [*facts["columns"], *json.loads(f"[{own[1]}]")]
    assert re.findall(r"^(\w+)(?: \[.*?\])?: ", text, re.M) == saved
    assert 'href="columns.txt"' in (web / "index.html").read_text(encoding="utf-8")


def test_the_landing_page_says_how_much_of_the_table_the_page_saves():
    text = (ROOT / "docs/landing.md").read_text(encoding="utf-8")
    assert f"a table with {len(PREDICTED)} of the {len(ALL_COLUMNS)} columns" in text


def test_the_resource_is_a_result_and_no_record(out, tmp_path):
    assert is_result(out / RESOURCE)
    r = CliRunner().invoke(app, ["predict", str(out.parent), "--out", str(tmp_path / "other")])
    assert r.exit_code == 0 and "skipped" not in r.output, r.output


def test_a_radiograph_of_that_name_keeps_its_own_results(out, tmp_path):
    image = tmp_path / "predictions.resource.png"
    image.write_bytes((out.parent / "in/b.png").read_bytes())
    for _ in range(2):
        assert predict_folder([str(image)], tmp_path / "out", writers=[]) == []
        assert "gap_px" in json.loads((tmp_path / "out" / RESOURCE).read_text())


def test_every_source_of_a_spacing_is_named_in_its_column_and_its_lesson():
    [column] = [column for column in ALL_COLUMNS if column.name == "spacing_source"]
    cells = nbformat.read(ROOT / "nbs/17_measure.ipynb", as_version=4).cells
    [told] = [cell.source for cell in cells if "(`spacing_source`" in cell.source]
    for source in SPACING_SOURCES:
        assert source in column.meaning and f"`{source}`" in told, source


def test_the_published_schema_is_the_library_s():
    path = ROOT / "docs/record.schema.json"
    advice = f"run `hemidiaphragm columns --record > docs/{path.name}`"
    assert json.loads(path.read_text(encoding="utf-8")) == record_schema(), advice
    assert record_schema()["$id"].endswith(path.relative_to(ROOT).as_posix())
