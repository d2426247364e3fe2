"The built wheel works by itself, elsewhere than in the project."

import shutil
import zipfile

import pytest

from hemidiaphragm_nb.extras import MissingExtra
from tests.clean_environment import REFUSED, CleanEnvironment
from tools.project import LIBRARY, ROOT, CommandFailed, copy_tree, module_files, python

PAGE = LIBRARY / "static" / "page"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    "The wheel, built from the source archive."
    folder = tmp_path_factory.mktemp("wheel")
    copy_tree(folder / "tree")
    if PAGE.exists():  # git ignores it, a wheel takes it along
        shutil.copytree(PAGE, folder / "tree" / PAGE.relative_to(ROOT))
    python("-m", "build", "--no-isolation", "--outdir", folder / "dist", folder / "tree")
    (built,) = (folder / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def clean(wheel, tmp_path_factory):
    "With all that the modules import."
    extras = ("study_requirements", "app_requirements", "nifti_requirements")
    return CleanEnvironment(tmp_path_factory.mktemp("clean"), wheel, *extras)


@pytest.fixture(scope="module")
def small(wheel, tmp_path_factory):
    "Without extras."
    return CleanEnvironment(tmp_path_factory.mktemp("small"), wheel)


def test_wheel_holds_every_file_of_the_package(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    files = [path for path in LIBRARY.rglob("*") if path.is_file()]
    needed = {str(p.relative_to(LIBRARY.parent)) for p in files if "__pycache__" not in p.parts}
    assert not needed - names
    assert any(name.endswith("LICENSE") for name in names)


def test_clean_environment_is_closed(clean):
    "Else the tests below prove nothing."
    for name in REFUSED:
        assert "ModuleNotFoundError" in clean.error(f"import {name}"), name
    code = "import urllib.request as r; r.urlopen('https://example.org')"
    assert "network is closed" in clean.error(code)


def test_wheel_imports_alone(clean):
    names = [f"hemidiaphragm_nb.{path.stem}" for path in module_files()]
    output = clean.inside("-c", f"import {', '.join(names)}\nprint(hemidiaphragm_nb)")
    assert str(clean.venv) in output, "the package came from elsewhere than the wheel"


def test_wheel_has_the_command(clean):
    output = clean.command("--help")
    assert all(name in output for name in ("phantom", "predict", "train"))


def test_wheel_demonstrates(clean):
    "The demonstration at its smallest trains, evaluates and predicts."
    clean.command("demo", "--quick", "--out", "demo", limit=600)
    made = {path.suffix for path in (clean.work / "demo").rglob("*") if path.is_file()}
    assert {".csv", ".png", ".json", ".safetensors"} <= made


def test_wheel_predicts_with_its_weights(clean):
    clean.command("phantom", "--n", "2", "--side", "128", "--out", "phantoms")
    clean.command("predict", "phantoms/images", "--out", "predicted", "--masks")
    rows = (clean.work / "predicted/predictions.csv").read_text("utf-8").splitlines()
    assert len(rows) == 3
    assert rows[0].startswith("file,right_x,right_y,left_x,left_y,gap_px,gap_mm,warnings")


def test_without_extras_the_wheel_predicts_as_with_them(small, clean):
    "PNG and DICOM, overlays, masks and DICOM objects; only the training asks for its extra."
    for package in ("torch", "pandas", "scipy", "matplotlib"):
        assert "ModuleNotFoundError" in small.error(f"import {package}"), package
    with pytest.raises(CommandFailed, match="exited with 2") as stopped:
        small.command("demo", "--out", "demo")
    output = str(stopped.value)
    assert output.endswith(f"hemidiaphragm: {MissingExtra('torch')}") and "index.html" in output
    small.command("phantom", "--n", "2", "--side", "128", "--out", "radiographs")
    small.command("predict", "radiographs/images", "--out", "results", "--masks")
    shutil.copytree(small.work / "demo/images", clean.work / "images")
    shutil.copytree(small.work / "demo/images", small.work / "images")
    for environment in (small, clean):
        environment.command("predict", "images", "--masks", "--seg", "--sr", "--out", "same")
    tables = [(each.work / "same/predictions.csv").read_text("utf-8") for each in (small, clean)]
    assert tables[0] == tables[1] and len(tables[0].splitlines()) == 7
    assert {path.name for path in (small.work / "same").glob("example-6*")} == {
        f"example-6{end}" for end in (".json", "_mask.png", "_overlay.png", "_seg.dcm", "_sr.dcm")
    }
