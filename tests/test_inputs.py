"What `predict` finds in folders, patterns and links, what it skips, and what it says then."

import shutil

import pytest
from typer.testing import CliRunner

from hemidiaphragm_nb.cli import app
from hemidiaphragm_nb.formats import encode_picture
from hemidiaphragm_nb.inputs import find_inputs, why_nothing
from hemidiaphragm_nb.phantom import phantom
from hemidiaphragm_nb.prediction_table import read_table
from hemidiaphragm_nb.readers import read_radiograph
from hemidiaphragm_nb.writers import predict_folder
from tests.test_writers import rows_of, write_image


@pytest.fixture
def radiographs(tmp_path):
    for name in ("a", "b"):
        write_image(tmp_path / f"radiographs/{name}.png")
    return tmp_path / "radiographs"


@pytest.mark.parametrize("where", [".", "..", "sub"])
def test_results_among_the_radiographs_say_so(tmp_path, where):
    "The only images are skipped because the results go there: no other reason is given."
    folder = tmp_path / "a/C"
    write_image(folder / "sub/film.png")
    out = folder / where
    r = CliRunner().invoke(app, ["predict", str(folder), "--out", str(out)])
    assert r.exit_code == 1 and f"its images lie in {out}, where the results go" in r.output
    assert "no image among" not in r.output and "Choose another folder" in r.output


def test_a_pattern_in_the_folder_of_the_results_passes_over_them(tmp_path):
    film = write_image(tmp_path / "film.png")
    write_image(tmp_path / "film_overlay_2.png", seed=4)  # no result, whatever its name
    given = ["predict", str(tmp_path / "*"), "--masks", "--out", str(tmp_path)]
    for _ in range(3):
        r = CliRunner().invoke(app, given)
        assert r.exit_code == 0 and "2 of 2 images predicted" in r.output, r.output
        assert set(rows_of(tmp_path)) == {"film", "film_overlay_2"}
    every = [str(path) for path in tmp_path.iterdir()]  # as a shell expands the pattern
    r = CliRunner().invoke(app, ["predict", *every, "--out", str(tmp_path)])
    assert r.exit_code == 0 and "2 of 2 images predicted" in r.output, r.output
    overlay = str(film.with_name("film_overlay.png"))
    r = CliRunner().invoke(app, ["predict", overlay, "--out", str(tmp_path)])
    assert r.exit_code == 1 and "it names nothing but earlier results in" in r.output


def test_linked_folders_are_walked_once(radiographs, tmp_path):
    only = tmp_path / "only"
    only.mkdir()
    (only / "link").symlink_to(radiographs)
    (radiographs / "loop").symlink_to(radiographs)
    (radiographs / "up").symlink_to(tmp_path)
    found = [(file.name, name.as_posix()) for file, name in find_inputs([str(only)])]
    assert found == [("a.png", "link/a"), ("b.png", "link/b")]
    assert "no image among its 2 files" in why_nothing(str(only))


@pytest.mark.parametrize("target", ["../annex/objects/SHA256E-s1.jpg", "film.jpg"])
def test_a_link_that_leads_nowhere_costs_itself(target, radiographs, tmp_path):
    (radiographs / "film.jpg").symlink_to(target)  # as git annex and DVC leave it; or to itself
    (radiographs / ".#a.png").symlink_to("an editor's lock")
    r = CliRunner().invoke(app, ["predict", str(radiographs), "--out", str(tmp_path / "out")])
    assert r.exit_code == 1 and "2 of 3 images predicted" in r.output
    assert f"{radiographs / 'film.jpg'}: it is a link that leads nowhere" in r.output
    assert len(read_table(tmp_path / "out")) == 2


@pytest.mark.parametrize("ending", ["jfif", "jpe", "JFIF"])
def test_a_jpeg_has_many_endings(ending, radiographs):
    data = encode_picture(phantom(3, side=256).image, "jpeg")
    (radiographs / f"c.{ending}").write_bytes(data)
    found = {file.name: str(name) for file, name in find_inputs([str(radiographs)])}
    assert found == {"a.png": "a", "b.png": "b", f"c.{ending}": "c"}
    assert read_radiograph(radiographs / f"c.{ending}").pixels.shape == (256, 256)


def test_files_that_are_passed_over_are_counted(radiographs, tmp_path):
    command = ["predict", str(radiographs), "--out", str(radiographs / "out")]

    def lines():
        r = CliRunner().invoke(app, command)
        assert r.exit_code == 0 and "2 of 2 images predicted" in r.output, r.output
        return [line for line in r.output.splitlines() if "skipped" in line]

    assert not lines() and not lines()  # where the program's own results are all that is there
    shutil.copytree(radiographs / "out", radiographs / "earlier")
    for path in (radiographs / "earlier").glob("*.png"):
        path.unlink()  # which are images
    (radiographs / ".hidden.txt").write_text("text")
    assert not lines()
    (radiographs / "notes.txt").write_text("text")
    first = f"1 file skipped: {radiographs / 'notes.txt'} has no ending of an image"
    assert [line.split(";")[0] for line in lines()] == [first]
    headless = b"\x08\0\x05\0CS\x0a\0ISO_IR 100" + bytes(200)  # a DICOM file without preamble
    (radiographs / "IM0001").write_bytes(headless)
    command.insert(1, str(radiographs))  # each once
    first = f"2 files skipped: {radiographs / 'IM0001'} and 1 more have no ending of an image"
    assert [line.split(";")[0] for line in lines()] == [first]


def test_an_empty_input_is_no_folder(tmp_path):
    with pytest.raises(ValueError, match="an input is empty"):
        predict_folder(["", str(tmp_path)], tmp_path / "out")
    assert not (tmp_path / "out").exists()
