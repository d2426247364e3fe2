"The drawn geometry: what is rejected, what is drawn, and that matrix, bend and points agree."

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from hemidiaphragm_nb import augment, augmentations
from hemidiaphragm_nb.augment import affine, reread_domes, sampling_grid, warp_points
from hemidiaphragm_nb.augmentations import (
    AUGMENTATIONS,
    NONE,
    PAPER,
    PAPER_AS_PRINTED,
    STRONG,
    Augmentation,
    AugmentationError,
    draw,
)
from hemidiaphragm_nb.landmarks import MIN_COLUMNS, landmarks_from_mask

HALF, CENTRE = 256.0, 255.5  # of the 512-px frame


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def only(**values):
    "A draw in which exactly this happens, to one image."
    on = {name + "_p": 1.0 for name in values}
    fixed = {name: (v, v) for name, v in values.items() if name != "flip"}
    return draw(Augmentation(**on, **fixed), 1, seeded())


def close(found, expected, eps):
    torch.testing.assert_close(torch.as_tensor(found), expected, rtol=0, atol=eps)


@pytest.mark.parametrize(
    "name, value, complaint",
    [
        ("rotate_p", 1.2, "[0, 1]"),
        ("rotate", (30, -30), "low, high"),
        ("scale", (0, 1), "[0.25, 4]"),
        ("elastic", (0, 50), "[0, 20]"),
        ("noise_p", float("nan"), "[0, 1]"),
        ("reread", 1, "True or False"),
    ],
)
def test_what_cannot_be_drawn_is_rejected(name, value, complaint):
    with pytest.raises(AugmentationError) as rejected:
        replace(NONE, **{name: value})
    assert complaint in str(rejected.value)


def test_draws_depend_on_neither_other_components_nor_the_batch():
    noisy = replace(STRONG, noise_p=1.0, blur_p=0.0)
    six, also_noisy, four = (
        draw(r, n, seeded()) for r, n in [(STRONG, 6), (noisy, 6), (STRONG, 4)]
    )
    for name in ("rotate", "scale", "shift", "shift_y", "waves"):
        assert torch.equal(six[name], also_noisy[name])
        assert torch.equal(six[name][:4], four[name])


def test_whether_and_how_much_are_drawn_apart():
    "How much of one component happens says nothing of whether another one does."
    ranges = {name: (low, high) for name, (_, low, high) in augmentations._COMPONENTS.items()}
    often = {f"{name}_p": 0.5 for name in ranges}
    many = draw(Augmentation(flip_p=0.5, **often, **ranges), 4000, seeded())
    neutral = {name: value for name, (value, *_) in augmentations._COMPONENTS.items()}
    on = {name: many[name] != value for name, value in neutral.items()} | {"flip": many["flip"]}
    for one in ranges:
        for other in on.keys() - {one}:
            pair = torch.stack([many[one], on[other].float()])[:, on[one]]
            assert abs(torch.corrcoef(pair)[0, 1]) < 0.12, (one, other)  # 5 deviations


def test_only_some_recipes_mirror_a_chest():
    mirrors = {name for name, recipe in AUGMENTATIONS.items() if recipe.flip_p}
    assert mirrors == {"paper", "paper_as_printed", "mirrored"}


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_what_a_recipe_changes_it_changes_by_chance(name):
    recipe = AUGMENTATIONS[name]
    for change in augmentations._COMPONENTS:
        low, high = getattr(recipe, change)
        assert low < high or not getattr(recipe, f"{change}_p")
    low, high = recipe.rotate
    assert low == -high or name == "paper_as_printed"


def test_a_bend_alone_moves_points_by_no_more_than_asked():
    recipe = Augmentation(elastic_p=1.0, elastic=(16.0, 16.0))
    points = torch.rand(40, 2, 2, generator=seeded(1)) * 400 + 56
    images = torch.zeros(40, 1, 32, 32)
    moved = augment.augment(images, None, points, recipe, seeded())[2] - points
    assert 2 < moved.abs().max() <= 16 and (moved != 0).all()


def test_probabilities_and_ranges_are_as_asked_for():
    many = draw(PAPER, 20_000, seeded())
    rotated = many["rotate"] != 0
    assert rotated.float().mean().item() == pytest.approx(0.5, abs=0.02)
    assert many["flip"].float().mean().item() == pytest.approx(0.25, abs=0.02)
    assert -30 <= many["rotate"].min() < -29.9 and 29.9 < many["rotate"].max() <= 30
    spread = many["rotate"][rotated].std().item()  # of an even spread over 60 degrees
    assert spread == pytest.approx(60 / 12**0.5, abs=0.3)
    assert draw(PAPER_AS_PRINTED, 20_000, seeded())["rotate"].max() <= 3


def factors(d):
    "The matrix of `affine`, multiplied from its five factors."
    m = {k: torch.eye(3, dtype=torch.double) for k in ("shift", "rotate", "shear", "scale", "flip")}
    m["shift"][:2, 2] = torch.stack([d["shift"][0], d["shift_y"][0]]) / 256
    t = d["rotate"][0].double().deg2rad()
    m["rotate"][:2, :2] = torch.tensor([[t.cos(), t.sin()], [-t.sin(), t.cos()]])
    m["shear"][0, 1] = d["shear"][0].double().deg2rad().tan()
    m["scale"][:2, :2] *= d["scale"][0]
    m["flip"][0, 0] = 1 - 2 * int(d["flip"][0])
    return torch.linalg.multi_dot(list(m.values()))


@pytest.mark.parametrize("seed", range(20))
def test_the_matrix_is_the_product_of_its_factors(seed):
    d = draw(replace(STRONG, flip_p=0.5), 1, seeded(seed))
    close(affine(d)[0], factors(d), 1e-12)


def test_the_map_cannot_fold():
    c = draw(STRONG, 50, seeded())["waves"].double() * 20 / HALF
    place = torch.rand(50, 200, 2, dtype=torch.double, generator=seeded()) * 2 - 1
    x, y = place.unbind(-1)
    e, step = augment._bend(x, y, c), 1e-5
    assert 2 / 256 < e.abs().max() <= 20 / 256  # px / 256
    along_x, along_y = augment._bend(x + step, y, c), augment._bend(x, y + step, c)
    slope = torch.stack([(along_x - e) / step, (along_y - e) / step], -1)
    steepest = torch.linalg.matrix_norm(slope, 2).max()
    assert steepest < 20 / 256 * math.pi * augmentations.MODES < 1
    ends = torch.tensor([[1.0, 1, 1], [-1, 1, -1]])  # whole half-waves from border to border
    close(augment._waves(torch.tensor([-1.0, 1.0])), ends, 1e-6)


@pytest.mark.parametrize(
    "point, change, by_hand",
    [
        ((511.0, 255.5), dict(rotate=90.0), (255.5, 0.0)),  # a quarter turn, counter-clockwise
        ((0.0, 7.0), dict(flip=True), (511.0, 7.0)),
        ((0.0, 7.0), dict(shift=16.0), (16.0, 23.0)),
        ((0.0, 7.0), dict(scale=2.0), (-255.5, -241.5)),  # outside
    ],
)
def test_points_move_as_by_hand(point, change, by_hand):
    moved = warp_points(torch.tensor([[point]]), affine(only(**change)))
    close(moved, torch.tensor([[by_hand]]), 1e-4)


def test_an_unknown_point_stays_unknown():
    bend = draw(STRONG, 1, seeded())["waves"].double() * 20 / HALF
    unknown = torch.full((1, 1, 2), float("nan"))
    assert warp_points(unknown, affine(only(rotate=5.0)), bend).isnan().all()


def test_the_grid_is_that_of_torch():
    m = affine(draw(STRONG, 5, seeded()))
    theirs = F.affine_grid(torch.linalg.inv(m)[:, :2].float(), (5, 1, 24, 24), align_corners=False)
    close(sampling_grid(m, 24), theirs, 1e-5)


FREE = dict(flip_p=0.5, rotate=(-180.0, 180.0), elastic_p=1.0, elastic=(0.0, 20.0))
GEOMETRY = st.integers(0, 2**31).map(lambda seed: draw(replace(STRONG, **FREE), 2, seeded(seed)))


@given(GEOMETRY, GEOMETRY)
@settings(max_examples=30, deadline=None)
def test_warps_form_a_group(first, second):
    m, k = affine(first), affine(second)
    p = torch.rand(2, 9, 2, dtype=torch.double) * 511
    close(warp_points(warp_points(p, m), torch.linalg.inv(m)), p, 1e-8)  # there and back
    close(warp_points(warp_points(p, m), k), warp_points(p, k @ m), 1e-8)
    c = first["waves"] * first["elastic"][:, None, None, None] / HALF
    v = (warp_points(p, m, c) - CENTRE) / HALF  # the bent point solves its equation
    at = (v + augment._bend(*v.unbind(-1), c.double())) * HALF + CENTRE
    close(at, warp_points(p, m), 1e-3)
    areas = torch.linalg.det(m[:, :2, :2]).abs()
    close(areas, first["scale"].double() ** 2, 1e-6)


@pytest.mark.parametrize("side", [64, 128, 256])
def test_the_rule_is_that_of_the_landmarks_in_narrow_lungs_too(side):
    for width in range(1, 20):
        labels = np.zeros((side, side), np.uint8)
        for label, left in ((1, 3), (2, side // 2)):
            for k in range(width):
                labels[5 : side // 2 + (k * k) % 7, left + k] = label
        expected = (landmarks_from_mask(labels) + 0.5) * 512 / side - 0.5
        found = reread_domes(torch.from_numpy(labels)[None])[0]
        close(found.nan_to_num(-1), torch.from_numpy(expected).nan_to_num(-1), 1e-6)
        assert found.isnan().all() == (width < MIN_COLUMNS)
