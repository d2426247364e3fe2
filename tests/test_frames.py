"An image is known by its digest, whatever its file; a model knows by them what it was trained on."

import json
import re

import numpy as np
import pytest

from hemidiaphragm_nb.folders import load_frames, read_folder, real_data_folder, write_folder
from hemidiaphragm_nb.formats import encode_picture
from hemidiaphragm_nb.frames import phantom_frames
from hemidiaphragm_nb.landmarks import split_by_patient
from hemidiaphragm_nb.runtime import shipped_folder

ENCODINGS = {
    "another PNG": dict(kind="png", compress_level=0),
    "TIFF": dict(kind="tiff", compression="lzw"),
    "16 bits": dict(kind="png"),
    "an orientation of 6": dict(kind="tiff", extratags=[(274, 3, 1, 6, True)]),
}


@pytest.mark.parametrize("how", ENCODINGS)
def test_a_digest_is_of_the_pixels_alone(how, tmp_path):
    frames = phantom_frames(2, seed=3)
    write_folder(frames, tmp_path / "a")
    write_folder(frames, tmp_path / "elsewhere")
    options = dict(ENCODINGS[how])
    for folder in ("masks", "images"):
        for path in (tmp_path / "elsewhere" / folder).iterdir():
            path.rename(path.with_name(f"renamed-{path.name}"))
    for path in (tmp_path / "elsewhere" / "masks").iterdir():
        path.unlink()
    image = frames.images[0, 0]
    array = np.rot90(image) if "orientation" in how else image
    array = array.astype(np.uint16) * 257 if "16" in how else array
    kind = options.pop("kind")
    for path in (tmp_path / "elsewhere" / "images").glob("*000000.png"):
        path.unlink()
        data = encode_picture(np.ascontiguousarray(array), kind, **options)
        path.with_suffix(f".{kind}").write_bytes(data)
    (tmp_path / "elsewhere" / "landmarks.csv").unlink()
    (tmp_path / "elsewhere" / "metadata.csv").unlink()
    one, other = (
        load_frames(read_folder(tmp_path / name), 256, progress=False)
        for name in ("a", "elsewhere")
    )
    assert not set(one.table["id"]) & set(other.table["id"])
    assert sorted(one.digests) == sorted(other.digests) and len(set(one.digests)) == 2
    assert one.digests == load_frames(one.table, progress=False).at(256).digests


def shipped_list() -> dict:
    card = json.loads((shipped_folder() / "card.json").read_text(encoding="utf-8"))
    return card["trained_on"]


def test_the_list_of_the_shipped_weights_holds_digests_alone():
    known = shipped_list()
    assert set(known) == {"side", "images"} and known["side"] == 256
    assert all(re.fullmatch("[0-9a-f]{16}", digest) for digest in known["images"])
    # of 263 radiographs, two of which have the same pixels
    assert known["images"] == sorted(set(known["images"])) and len(known["images"]) == 262


@pytest.mark.skipif(real_data_folder() is None, reason="needs the radiographs")
def test_the_shipped_weights_know_their_radiographs_but_none_held_out():
    table, known = read_folder(real_data_folder()), shipped_list()
    test = split_by_patient(table, seed=0)["test"]
    frames, images = load_frames(table, 256, progress=False), set(known["images"])
    assert (len(frames), len(test)) == (328, 65)
    held_out = set(test.tolist())
    for i, digest in enumerate(frames.digests):
        assert (digest in images) != (i in held_out), table["id"][i]
