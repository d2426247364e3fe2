"Annotations that are not read are errors: never an empty mask, which would train as `no lung`."

import json

import numpy as np
import pytest

from hemidiaphragm_nb.lung_masks import LUNG_CLASSES, is_lung
from hemidiaphragm_nb.problems import DatasetError
from hemidiaphragm_nb.public import read_coco_mask, read_darwin_mask

SIZE = (40, 48)  # px, height and width
RIGHT, LEFT = (4, 8, 18, 32), (28, 8, 44, 32)  # x0, y0, x1, y1


def labels() -> np.ndarray:
    "Both lungs as rectangles."
    picture = np.zeros(SIZE, np.uint8)
    for label, (x0, y0, x1, y1) in enumerate((RIGHT, LEFT), start=1):
        picture[y0:y1, x0:x1] = label
    return picture


def runs(values: np.ndarray) -> list[int]:
    "Label and length of each run along the rows."
    flat = values.ravel()
    starts = np.flatnonzero(np.r_[True, flat[1:] != flat[:-1]])
    lengths = np.diff(np.r_[starts, len(flat)])
    return np.c_[flat[starts], lengths].ravel().tolist()


def corners(box) -> list[tuple]:
    x0, y0, x1, y1 = box
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]


def darwin(path, *annotations) -> str:
    "A Darwin 2 file."
    slot = dict(type="image", slot_name="0", width=SIZE[1], height=SIZE[0])
    head = dict(version="2.0", item=dict(name="f.png", slots=[slot]))
    path.write_text(json.dumps(head | dict(annotations=annotations)))
    return str(path)


def raster(values: np.ndarray, mapping: dict) -> dict:
    layer = dict(dense_rle=runs(values), mask_annotation_ids_mapping=mapping)
    return dict(id="r", name="__raster_layer__", raster_layer=layer)


BRUSHED = (dict(id="a", name="Right lung", mask={}), dict(id="b", name="Left lung", mask={}))


def test_a_raster_layer_is_read(tmp_path):
    layer = raster(labels() * 3, {"a": 3, "b": 6})
    mask = read_darwin_mask(darwin(tmp_path / "a.json", *BRUSHED, layer), (1, 1))
    assert (mask == labels()).all()
    assert np.bincount(mask.ravel()).tolist() == [1200, 336, 384]


def test_a_polygon_and_a_raster_together(tmp_path):
    path = [dict(x=x, y=y) for x, y in corners(LEFT)]
    drawn = dict(id="b", name="Left lung", polygon=dict(paths=[path]))
    layer = raster(labels() * (labels() == 1), {"a": 1})
    mask = read_darwin_mask(darwin(tmp_path / "a.json", BRUSHED[0], drawn, layer), (1, 1))
    assert (mask == labels()).all()


FAR = [dict(x=x, y=y) for x, y in [(90, 90), (99, 90), (99, 99)]]
UNREAD = {
    "box": dict(bounding_box=dict(x=4, y=8, w=14, h=24)),
    "ellipse": dict(ellipse=dict(center=dict(x=9, y=9), radius=dict(x=4, y=4), angle=0)),
    "line": dict(line=dict(path=FAR)),
    "keypoint": dict(keypoint=dict(x=4, y=8)),
    "skeleton": dict(skeleton=dict(nodes=[])),
    "cuboid": dict(cuboid={}),
    "tag": dict(tag={}),
    "frames of a video": dict(frames={"0": dict(polygon=dict(paths=[FAR]))}),
    "polygon without corners": dict(polygon=dict(paths=[])),
    "polygon outside": dict(polygon=dict(paths=[FAR])),
    "brush without a raster layer": dict(mask={}),
}


@pytest.mark.parametrize("shape", UNREAD.values(), ids=UNREAD)
def test_what_is_not_read_is_an_error(tmp_path, shape):
    file = darwin(tmp_path / "a.json", dict(id="a", name="Lung") | shape)
    with pytest.raises(DatasetError, match="a.json"):
        read_darwin_mask(file, SIZE)


@pytest.mark.parametrize(
    "layer",
    [
        raster(labels(), {"b": 2}),  # nothing of a
        raster(labels(), {"a": 9, "b": 2}),  # no pixel of a
        raster(labels()[:9], {"a": 1, "b": 2}),  # not the whole picture
        dict(id="r", name="__raster_layer__", raster_layer={}),
    ],
    ids=["unmapped", "empty", "short", "nothing"],
)
def test_a_raster_layer_that_does_not_fit_is_an_error(tmp_path, layer):
    with pytest.raises(DatasetError, match="a.json"):
        read_darwin_mask(darwin(tmp_path / "a.json", *BRUSHED, layer), SIZE)


def coco(path, category="lung", **annotation) -> str:
    "A COCO file with one annotation of one image."
    image = dict(id=1, file_name="f.png", height=SIZE[0], width=SIZE[1])
    one = dict(id=7, image_id=1, category_id=1, **annotation)
    kinds = [dict(id=1, name=category)]
    path.write_text(json.dumps(dict(images=[image], categories=kinds, annotations=[one])))
    return f"{path}#1"


def test_a_crowd_is_read(tmp_path):
    down = np.asfortranarray(labels() > 0).T.ravel().astype(int)  # COCO counts down the columns
    counts = runs(down)[1::2]
    crowd = dict(size=list(SIZE), counts=counts)
    file = coco(tmp_path / "c.json", iscrowd=1, segmentation=crowd)
    assert (read_coco_mask(file, SIZE) == labels()).all()


COCO_UNREAD = {
    "box": dict(bbox=[4, 8, 14, 24]),
    "empty list": dict(segmentation=[], bbox=[4, 8, 14, 24]),
    "empty ring": dict(segmentation=[[]]),
    "two corners": dict(segmentation=[[1, 1, 9, 9]]),
    "outside": dict(segmentation=[[90, 90, 99, 90, 99, 99]]),
    "background": dict(segmentation=dict(size=list(SIZE), counts=[SIZE[0] * SIZE[1]])),
    "text": dict(segmentation="a lung"),
}


@pytest.mark.parametrize("shape", COCO_UNREAD.values(), ids=COCO_UNREAD)
def test_coco_that_is_not_read_is_an_error(tmp_path, shape):
    with pytest.raises(DatasetError, match="c.json"):
        read_coco_mask(coco(tmp_path / "c.json", **shape), SIZE)


def test_classes_are_matched_exactly(tmp_path):
    assert all(is_lung(name.title().replace(" ", "_")) for name in LUNG_CLASSES)
    others = ("lung nodule", "lung opacity", "no lung", "lunge", "plunger", "heart", "")
    assert not any(map(is_lung, others))
    square = [4, 8, 18, 8, 18, 32, 4, 32]
    with pytest.raises(DatasetError, match="'lung opacity' is no name for one"):
        read_coco_mask(coco(tmp_path / "c.json", "lung opacity", segmentation=[square]), SIZE)


SQUARES = {"right": [4, 8, 18, 8, 18, 32, 4, 32], "left": [28, 8, 44, 8, 44, 32, 28, 32]}


@pytest.mark.parametrize("names", [("right lung", "Lung_L"), ("R lung", "lung"), ("lung", "lung2")])
def test_a_coco_class_that_sounds_like_a_lung_is_an_error(names, tmp_path):
    "Beside a known one, too: its lung would be missing from the mask."
    data = dict(
        images=[dict(id=1, file_name="f.png", height=SIZE[0], width=SIZE[1])],
        categories=[dict(id=i, name=name) for i, name in enumerate(names)],
        annotations=[
            dict(id=i, image_id=1, category_id=i, segmentation=[ring])
            for i, ring in enumerate(SQUARES.values())
        ],
    )
    (tmp_path / "c.json").write_text(json.dumps(data))
    with pytest.raises(DatasetError, match="no name for a lung.*right lung"):
        read_coco_mask(f"{tmp_path / 'c.json'}#1", SIZE)
    data["categories"] = [dict(id=0, name="lung"), dict(id=1, name="lung opacity")]
    (tmp_path / "d.json").write_text(json.dumps(data))  # a finding in it is another class
    assert read_coco_mask(f"{tmp_path / 'd.json'}#1", SIZE).max() == 1


@pytest.mark.parametrize("names", [("Lung", "Lung_L"), ("Lung_L",), ("Lungs 1", "heart")])
def test_a_darwin_class_that_sounds_like_a_lung_is_an_error(names, tmp_path):
    drawn = [
        dict(id=name, name=name, polygon=dict(paths=[[dict(x=x, y=y) for x, y in corners(box)]]))
        for name, box in zip(names, (RIGHT, LEFT))
    ]
    file = darwin(tmp_path / "a.json", *drawn)
    with pytest.raises(DatasetError, match="no name for a lung.*left lung"):
        read_darwin_mask(file, SIZE)


def test_every_raster_layer_is_read(tmp_path):
    both = labels()
    layers = [raster((both == 1) * 1, {"a": 1}), raster((both == 2) * 1, {"b": 1})]
    mask = read_darwin_mask(darwin(tmp_path / "a.json", *BRUSHED, *layers), (1, 1))
    assert (mask == both).all()
    halves = [both * (np.indices(SIZE)[0] < 20), both * (np.indices(SIZE)[0] >= 20)]
    layers = [raster(half, {"a": 1, "b": 2}) for half in halves]  # a lung in two layers
    mask = read_darwin_mask(darwin(tmp_path / "b.json", *BRUSHED, *layers), (1, 1))
    assert (mask == both).all()
