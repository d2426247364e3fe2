"""What a stranger can send is a folder: its images, its CSV and JSON files.

Files that unfold in memory and names that lead out of the folder are rejected by the one error of
their reader, in little memory and time. The library unpacks no archive: users unpack what the data
sets publish.
"""

import json
import os

import pytest

from tests import bombs
from tests.bounded import outcome
from tests.library import find, planted
from tests.sound_files import corpus
from tools.project import module_files, python

read_radiograph, RadiographError = find("read_radiograph", "RadiographError")
read_mask, read_folder, scan_folder = find("read_mask", "read_folder", "scan_folder")
DatasetError, write_atomic, find_inputs = find("DatasetError", "write_atomic", "find_inputs")
read_darwin_mask, read_covid_darwin = find("read_darwin_mask", "read_covid_darwin")
read_coco_mask, read_coco = find("read_coco_mask", "read_coco")
UNPACKERS = "zipfile tarfile unpack_archive extractall gzip bz2 lzma py7zr rarfile".split()


def rejected(read, *arguments, by=DatasetError) -> bool:
    "Whether `by` is raised, in little memory and time."
    ending = outcome(lambda: read(*arguments), by)
    return ending == "rejected" or pytest.fail(ending)


@pytest.mark.parametrize("name", bombs.RADIOGRAPHS)
def test_image_bomb(name, tmp_path):
    path = tmp_path / "bomb"
    path.write_bytes(bombs.RADIOGRAPHS[name]())
    assert rejected(read_radiograph, path, by=RadiographError)


@pytest.mark.parametrize("name", bombs.MASKS)
def test_mask_bomb(name, tmp_path):
    path = tmp_path / "mask.png"
    path.write_bytes(bombs.MASKS[name]())
    assert rejected(read_mask, str(path))


@pytest.mark.parametrize("name", [*bombs.DARWIN, "deep"])
def test_darwin_bomb(name, tmp_path):
    path = tmp_path / "x.json"
    path.write_text("[" * 200_000 if name == "deep" else json.dumps(bombs.DARWIN[name]))
    assert rejected(read_darwin_mask, str(path), (64, 64))


@pytest.mark.parametrize("name", bombs.COCO)
def test_coco_bomb(name, tmp_path):
    path = tmp_path / "x.json"
    path.write_text(json.dumps(bombs.COCO[name]))
    assert rejected(read_coco_mask, f"{path}#1", (64, 64))


@pytest.mark.parametrize("name", bombs.OUTSIDE)
def test_a_name_leads_nowhere(name, tmp_path):
    "No CSV or JSON file makes the library touch a file outside its folder."
    (tmp_path / "secret.png").write_bytes(corpus()["png16"])
    folder = bombs.collection(tmp_path / "coco", bombs.coco(name=name))
    assert rejected(read_coco, folder / "x.json")
    annotated = bombs.darwin(name=name)
    assert rejected(read_covid_darwin, bombs.collection(tmp_path / "darwin", annotated, name))
    if name:
        folder = bombs.collection(tmp_path / "metadata")
        (folder / "metadata.csv").write_text(f"id,patient_id,view\na,1,AP\n{name},2,AP\n")
        assert rejected(read_folder, folder)


@pytest.mark.parametrize("name", bombs.COCO_NONSENSE)
def test_coco_nonsense(name, tmp_path):
    folder = bombs.collection(tmp_path / "set", bombs.COCO_NONSENSE[name])
    assert rejected(read_coco, folder / "x.json")


@pytest.mark.parametrize("name", bombs.DARWIN_NONSENSE)
def test_darwin_nonsense(name, tmp_path):
    folder = bombs.collection(tmp_path / "set", bombs.DARWIN_NONSENSE[name])
    assert rejected(read_covid_darwin, folder)


def test_landmarks_of_a_file_outside_are_reported_and_not_opened(tmp_path):
    folder = bombs.collection(tmp_path / "set")
    (folder / "metadata.csv").unlink()
    rows = "../../secret,1,2,3,4\n/etc/passwd,1,2,3,4\n"
    (folder / "landmarks.csv").write_text(f"id,right_x,right_y,left_x,left_y\n{rows}")
    problems = scan_folder(folder)[1]
    assert sum(problem.file.startswith("landmarks.csv") for problem in problems) == 2
    assert read_folder(folder)["image"].tolist() == [str(folder / "images/a.png")]


LINKS = {
    "zero.png": "/dev/zero",
    "loop.png": "loop.png",
    "passwd.png": "/etc/passwd",
    "gone.png": "nowhere",
    "round": ".",
}


@pytest.fixture
def linked(tmp_path):
    "A folder of images with links to a device, a file, nothing and itself, and a pipe."
    folder = bombs.collection(tmp_path / "in")
    for name, target in LINKS.items():
        (folder / "images" / name).symlink_to(target)
    os.mkfifo(folder / "images/pipe.png")
    return folder


@pytest.mark.parametrize("name", [*LINKS, "pipe.png"])
def test_what_a_link_leads_to_is_no_radiograph(name, linked):
    assert rejected(read_radiograph, linked / "images" / name, by=RadiographError)


def test_a_search_through_links_ends(linked):
    found = sorted(path.name for path, _ in find_inputs([str(linked)]))
    assert found == ["a.png", "gone.png", "loop.png", "passwd.png"]


def test_a_result_replaces_a_link_and_does_not_follow_it(tmp_path):
    target, link = tmp_path / "target.txt", tmp_path / "a.json"
    target.write_text("mine")
    link.symlink_to(target)
    write_atomic(link, lambda path: path.write_text("result"))
    assert target.read_text() == "mine" and not link.is_symlink()


def test_nothing_unpacks_archives():
    "So that none can write outside its folder."
    assert not [
        f"{path.name}:{number}: {line.strip()}"
        for path in module_files()
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if any(word in line for word in UNPACKERS)
    ]


def test_a_reader_without_limits_is_noticed(tmp_path):
    "Else the bombs prove nothing: with the limit of pixels planted out of a copy they go off."
    package = planted("if height * width > MAX_PIXELS:", "if False:", tmp_path / "package")
    path = tmp_path / "bomb"
    path.write_bytes(bombs.png(12_000, 12_000))
    code = (
        "from tests.bounded import outcome\n"
        "from tests.library import find\n"
        "read, error = find('read_radiograph', 'RadiographError')\n"
        f"print(outcome(lambda: read({str(path)!r}), error))"
    )
    assert python("-c", code, cwd=package).splitlines()[-1] != "rejected"
    assert python("-c", code).splitlines()[-1] == "rejected"
