"Annotations that are not read are errors: never an empty mask, which would train as `no lung`."

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hemidiaphragm_nb.cases import LANDMARKS
from hemidiaphragm_nb.coco import read_coco, read_coco_mask
from hemidiaphragm_nb.darwin import read_covid_darwin, read_darwin_mask
from hemidiaphragm_nb.folders import load_frames
from hemidiaphragm_nb.lung_masks import LUNG_CLASSES, is_lung, misnamed_lungs
from hemidiaphragm_nb.problems import DatasetError
from hemidiaphragm_nb.public import read_montgomery, read_shenzhen

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


def drawn(name, box, **more) -> dict:
    "A Darwin annotation: a rectangle."
    path = [dict(x=x, y=y) for x, y in corners(box)]
    return dict(id=name, name=name, polygon=dict(paths=[path])) | more


OTHER_TONGUES = [
    ("Lunge rechts", "Lunge links"),
    ("Lungenflügel R", "Lungenflügel L"),
    ("pulmón derecho", "pulmón izquierdo"),
    ("poumon droit", "poumon gauche"),
    ("polmone destro", "polmone sinistro"),
    ("pulmão direito", "pulmão esquerdo"),
    ("rechter long", "linkerlong"),
    ("right lung", "left lung (infected)"),
    ("right lung", "Lunge links"),
    ("right lung", "left"),
]


@pytest.mark.parametrize("names", OTHER_TONGUES)
def test_a_lung_of_another_name_is_no_empty_or_half_mask(names, tmp_path):
    file = darwin(tmp_path / "a.json", *map(drawn, names, (RIGHT, LEFT)))
    with pytest.raises(DatasetError, match="no name for a lung.*left lung") as told:
        read_darwin_mask(file, SIZE)
    assert repr(names[1]) in str(told.value)
    data = coco_file([dict(id=1, file_name="f.png")], names)
    (tmp_path / "c.json").write_text(json.dumps(data))
    with pytest.raises(DatasetError, match="no name for"):
        read_coco_mask(f"{tmp_path / 'c.json'}#1", SIZE)


def test_findings_and_other_organs_are_other_classes():
    others = (
        "lung nodule|Lung Opacity|lung cavity|interstitial lung disease|opacity in the left lung"
    )
    others += "|pulmonary edema|cor pulmonale|pulmonary artery|long line|left clavicle|plunger|肺炎"
    assert misnamed_lungs(others.split("|")) == []
    assert misnamed_lungs(LUNG_CLASSES) == []


@pytest.mark.parametrize("names", [("thorax", "heart"), ()])
def test_a_darwin_file_without_a_lung_is_no_empty_mask(names, tmp_path):
    file = darwin(tmp_path / "a.json", *map(drawn, names, (RIGHT, LEFT)))
    with pytest.raises(DatasetError, match="a.json: holds no lung.*left lung"):
        read_darwin_mask(file, SIZE)


def test_a_lung_in_another_slot_is_not_drawn_on_the_first(tmp_path):
    here, there = drawn("lung", RIGHT, slot_names=["0"]), drawn("lung", LEFT, slot_names=["1"])
    assert (read_darwin_mask(darwin(tmp_path / "a.json", here), SIZE) == labels() % 2).all()
    with pytest.raises(DatasetError, match="another slot"):
        read_darwin_mask(darwin(tmp_path / "b.json", here, there), SIZE)


def covid(folder, **files) -> Path:
    "The COVID-19 collection: radiographs a and b, and Darwin files of annotations."
    for name in "ab":
        noise = np.random.default_rng(ord(name)).integers(0, 256, (40, 48))
        (folder / "images").mkdir(exist_ok=True)
        Image.fromarray(noise.astype(np.uint8)).save(folder / f"images/{name}.png")
    lines = "patientid,view,filename\n1,PA,a.png\n2,PA,b.png\n"
    (folder / "metadata.csv").write_text(lines)
    for name, annotations in files.items():
        path = folder / f"{name}.json"
        darwin(path, *annotations)
        path.write_text(path.read_text().replace("f.png", f"{name[0]}.png"))
    return folder


BOTH = [drawn("right lung", RIGHT), drawn("left lung", LEFT)]


def test_a_radiograph_whose_file_holds_no_lung_is_named(tmp_path):
    with pytest.warns(UserWarning, match="no lung: 1 .b.png."):
        cases = read_covid_darwin(covid(tmp_path, a=BOTH, b=[drawn("thorax", LEFT)]))
    assert list(cases["id"]) == ["a"]


def test_a_radiograph_with_lungs_in_two_files_is_an_error(tmp_path):
    with pytest.raises(DatasetError, match="a2.json: holds lungs of 'a.png', as a.json does"):
        read_covid_darwin(covid(tmp_path, a=BOTH, a2=BOTH[:1]))


def coco_file(images, names, **more) -> dict:
    "A COCO file: a lung of each name in the first image."
    annotations = [
        dict(id=i, image_id=images[0]["id"], category_id=i, segmentation=[ring])
        for i, ring in enumerate(list(SQUARES.values())[: len(names)])
    ]
    kinds = [dict(id=i, name=name) for i, name in enumerate(names)]
    return dict(images=images, categories=kinds, annotations=annotations) | more


def read(folder, data):
    "The table of a COCO file beside images a.png and b.png."
    covid(folder)
    (folder / "c.json").write_text(json.dumps(data))
    return read_coco(folder / "c.json")


@pytest.mark.parametrize("ids", [(1, 1), ("1", 1), (1, 1.0)])
def test_images_of_one_id_are_an_error(ids, tmp_path):
    images = [dict(id=i, file_name=f"{name}.png") for i, name in zip(ids, "ab")]
    with pytest.raises(DatasetError, match="several images have the id 1") as told:
        read(tmp_path, coco_file(images, ("right lung", "left lung")))
    assert "'b.png'" in str(told.value)


def test_categories_of_one_id_are_an_error(tmp_path):
    kinds = [dict(id=0, name="heart"), dict(id=0, name="lung")]
    data = coco_file([dict(id=1, file_name="a.png")], ("lung",), categories=kinds)
    with pytest.raises(DatasetError, match="categories have the id 0 .'heart', 'lung'"):
        read(tmp_path, data)


def test_an_annotation_of_nothing_listed_is_named(tmp_path):
    data = coco_file([dict(id=1, file_name="a.png")], ("right lung", "left lung"))
    data["annotations"][1] |= dict(id=77, image_id=9, category_id="x")
    with pytest.raises(DatasetError) as told:
        read(tmp_path, data)
    assert "annotation 77 refers to the image 9, which is not listed" in str(told.value)
    assert "annotation 77 refers to the category 'x'" in str(told.value)


def with_points(category, names, *annotations, **more) -> dict:
    "A COCO file of two lungs and keypoints of image 1, each (x, y, visible) three numbers."
    data = coco_file([dict(id=1, file_name="a.png")], ("right lung", "left lung"))
    data["categories"].append(dict(id=9, name=category, keypoints=names))
    for i, values in enumerate(annotations, start=50):
        data["annotations"].append(dict(id=i, image_id=1, category_id=9, keypoints=values))
    return data


POINTS = [11, 32, 2, 36, 31, 2]


@pytest.mark.parametrize(
    "category, names",
    [
        ("hemidiaphragm", ["right_dome", "left_dome"]),
        ("anything", ["Right hemidiaphragm", "left-hemidiaphragm"]),
        ("lung", ["right", "left"]),
    ],
)
def test_landmarks_are_read_by_exact_names(category, names, tmp_path):
    table = read(tmp_path, with_points(category, names, POINTS))
    assert table.loc[0, LANDMARKS].tolist() == [11, 32, 36, 31]


@pytest.mark.parametrize(
    "category, names",
    [
        ("shoulders", ["right_shoulder", "left_shoulder"]),
        ("shoulders", ["right", "left"]),
        ("findings", ["bright spot", "cleft"]),
    ],
)
def test_other_keypoints_are_no_landmarks(category, names, tmp_path):
    table = read(tmp_path, with_points(category, names, POINTS))
    assert table.loc[0, LANDMARKS].isna().all()


@pytest.mark.parametrize(
    "category, names, told",
    [
        ("hemidiaphragm", ["R", "L"], "'r', 'l'"),
        ("points", ["right dome", "diaphragm of the left"], "'diaphragm of the left'"),
        ("Zwerchfell", ["rechts", "links"], "'rechts', 'links'"),
        ("hemidiaphragm", ["right dome"], "2 keypoints where its category names 1"),
    ],
)
def test_keypoints_that_sound_like_landmarks_are_an_error(category, names, told, tmp_path):
    with pytest.raises(DatasetError, match=told) as error:
        read(tmp_path, with_points(category, names, POINTS))
    assert "right hemidiaphragm" in str(error.value)


def test_a_landmark_that_stands_twice_is_an_error(tmp_path):
    data = with_points("dome", ["right", "left"], POINTS, [11, 30, 2, 0, 0, 0])
    with pytest.raises(DatasetError, match="annotations 50 and 51 hold the right landmark"):
        read(tmp_path, data)


def test_a_coco_file_of_neither_lungs_nor_landmarks_is_an_error(tmp_path):
    data = coco_file([dict(id=1, file_name="a.png")], ("thorax", "heart"))
    with pytest.raises(DatasetError, match="neither a lung nor a landmark.*'thorax', 'heart'"):
        read(tmp_path, data)


def test_an_image_without_a_lung_has_no_empty_mask(tmp_path):
    images = [dict(id=i, file_name=f"{name}.png") for i, name in enumerate("ab")]
    table = read(tmp_path, coco_file(images, ("right lung", "left lung")))
    assert list(table["mask"] != "") == [True, False]
    with pytest.raises(DatasetError, match="holds no lung of the image 1"):
        read_coco_mask(f"{tmp_path / 'c.json'}#1", SIZE)


def binary(root, **masks):
    "A radiograph in Shenzhen's or (two masks) Montgomery's layout; its table of cases."
    name = "MCUCXR_0001_0" if len(masks) == 2 else "CHNCXR_0001_0"
    files = {"image": f"CXR_png/{name}.png", "both": f"mask/{name}_mask.png"}
    files |= {side: f"ManualMask/{side}Mask/{name}.png" for side in ("right", "left")}
    big = np.random.default_rng(0).integers(0, 99, (4 * SIZE[0], 4 * SIZE[1])) == 0
    for part, picture in ({"image": big} | masks).items():
        (root / files[part]).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.uint8(picture) * 255).save(root / files[part])
    return (read_montgomery if len(masks) == 2 else read_shenzhen)(root)


def drawn_labels() -> np.ndarray:
    return labels().repeat(4, 0).repeat(4, 1)


@pytest.mark.parametrize(
    ("masks", "told", "file"),
    [
        (dict(both=lambda m: m < 0), "empty: it holds no lung", "mask/CHNCXR_0001_0_mask.png"),
        (dict(both=lambda m: m >= 0), "covers the whole image", "mask/CHNCXR_0001_0_mask.png"),
        (dict(both=lambda m: m == 0), "it is inverted", "mask/CHNCXR_0001_0_mask.png"),
        (
            dict(right=lambda m: m < 0, left=lambda m: m < 0),
            "empty: it holds no lung",
            "ManualMask/rightMask/MCUCXR_0001_0.png",
        ),
        (
            dict(right=lambda m: m == 1, left=lambda m: m >= 0),
            "covers the whole image",
            "ManualMask/leftMask/MCUCXR_0001_0.png",
        ),
        (
            dict(right=lambda m: m != 1, left=lambda m: m == 2),
            "it is inverted",
            "ManualMask/rightMask/MCUCXR_0001_0.png",
        ),
    ],
)
def test_a_binary_mask_without_a_lung_is_no_empty_mask(masks, told, file, tmp_path):
    table = binary(tmp_path, **{part: draw(drawn_labels()) for part, draw in masks.items()})
    with pytest.raises(DatasetError, match=told) as error:
        load_frames(table, progress=False)
    [problem] = error.value.problems
    assert problem.file == str(tmp_path / file)


@pytest.mark.parametrize("removed", [None, 1, 2])
def test_a_pair_may_lack_one_lung(removed, tmp_path):
    drawn = drawn_labels()
    drawn[drawn == removed] = 0
    table = binary(tmp_path, right=drawn == 1, left=drawn == 2)
    assert set(np.unique(load_frames(table, progress=False).masks)) == {0, 1, 2} - {removed}
