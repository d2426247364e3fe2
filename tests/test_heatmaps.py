"Heatmaps beyond what notebook 03 shows: odd inputs, tensors and devices, imperfect maps, speed."

import inspect
import math
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hemidiaphragm_nb.distances import METRICS, centres, distance, to_frame
from hemidiaphragm_nb.heatmaps import (
    DECODERS,
    _finite_maps,
    decode,
    decode_argmin,
    decode_centroid,
    decode_parabola,
    decode_tanh,
    encode,
    saturate_,
    split_shared,
)
from hemidiaphragm_nb.heatmaps import _radius as radius

PAIR = np.array([[[160.0, 350.0], [370.0, 330.0]]])  # right and left hemidiaphragm
DEVICES = ["cpu"] + ["cuda"] * torch.cuda.is_available()
BETAS = (10, 25, 50, 75, 100, 125, 150, 175, 200)  # the paper's, but for 1 px
near = np.testing.assert_allclose


def pairs(n, seed=0, margin=0.0, gap=100.0):
    "Random landmarks (n, 2, 2): right in the left part, left at least `gap` px further right."
    g = np.random.default_rng(seed)
    points = g.uniform(margin, 511 - margin, (n, 2, 2))
    width = (511 - gap) / 2 - margin
    points[:, 0, 0] = g.uniform(margin, margin + width, n)
    points[:, 1, 0] = g.uniform(511 - margin - width, 511 - margin, n)
    return points


def unit_noise(n=32, side=128, seed=0):
    z = np.random.default_rng(seed).standard_normal((n, 2, side, side))
    return z / z.std()


def error(maps, points, decoder="tanh", **kw):
    "Distance in px of each decoded landmark from the truth."
    return np.linalg.norm(decode(maps, decoder, **kw) - points, axis=-1)


@pytest.mark.parametrize("beta", [1, 10, 125, 200])
def test_saturation_is_the_tangent_for_arrays_and_tensors(beta):
    d = distance(np.random.default_rng(0).uniform(0, 511, (4, 2, 2)), 256)
    truth = np.tanh(d.astype(float) * math.pi / beta)
    near(saturate_(d.copy(), beta), truth, rtol=0, atol=3e-7)
    near(saturate_(torch.tensor(d), beta).numpy(), truth, rtol=0, atol=3e-7)


def test_saturation_of_the_ends():
    ends = np.array([0.0, math.inf], np.float32)
    assert saturate_(ends.copy()).tolist() == [0.0, 1.0]
    assert saturate_(torch.tensor(ends)).tolist() == [0.0, 1.0]
    with pytest.raises(ValueError, match="positive length"):
        saturate_(ends, 0)


def test_each_pixel_of_a_shared_map_sees_the_nearer_landmark():
    for metric in METRICS:
        both, one = encode(PAIR, 128, 125, metric), encode(PAIR, 128, 125, metric, shared=True)
        assert (both.shape, one.shape) == ((1, 2, 128, 128), (1, 1, 128, 128))
        near(one, both.min(1, keepdims=True), rtol=0, atol=0)


@pytest.mark.parametrize("like", [np.asarray, torch.tensor], ids=["array", "tensor"])
def test_any_number_of_landmarks_has_a_channel_each(like):
    points = np.random.default_rng(1).uniform(80, 430, (4, 5, 2)).astype(np.float32)
    maps = encode(like(points), 128)
    assert maps.shape == (4, 5, 128, 128)
    near(maps[:, :2], encode(like(points[:, :2]), 128), rtol=0, atol=0)
    for decoder, far in (("argmin", 4.0), ("tanh", 0.05)):
        found = decode(maps, decoder)
        assert found.shape == points.shape
        assert np.abs(found - points).max() < far


def test_unknown_landmarks_are_far_from_everything():
    nothing = encode(np.full((1, 2, 2), np.nan), 16)
    assert (nothing == 1).all() and nothing.shape == (1, 2, 16, 16)
    half = PAIR.copy()
    half[0, 1] = np.nan
    assert (encode(half, 16, shared=True) == encode(PAIR, 16)[:, :1]).all()
    half = torch.tensor(half)
    assert torch.equal(encode(half, 16, shared=True), encode(torch.tensor(PAIR), 16)[:, :1])


@pytest.mark.parametrize("like", [np.asarray, torch.tensor], ids=["array", "tensor"])
def test_encode_rejects_what_it_cannot_encode(like):
    pair = like(PAIR)
    with pytest.raises(ValueError, match=r"\(\.\.\., k, 2\)"):
        encode(like(np.zeros((3, 2))), 16)
    with pytest.raises(ValueError, match=r"\(\.\.\., k, 2\)"):
        encode(like(np.zeros((1, 2, 3))), 16)
    with pytest.raises(ValueError, match=r"\(\.\.\., 2, 2\)"):
        encode(like(np.zeros((1, 3, 2))), 16, shared=True)
    with pytest.raises(ValueError, match="positive length"):
        encode(pair, 16, -5)
    with pytest.raises(ValueError, match="choose from euclidean"):
        encode(pair, 16, 125, "manhattan")


@pytest.mark.parametrize("beta", [10, 125])
def test_the_short_way_gives_the_plain_numbers(beta):
    near(encode(PAIR, 128, beta), saturate_(distance(PAIR, 128), beta), rtol=0, atol=1e-6)


@pytest.mark.parametrize("shared", [False, True])
def test_minkowski_of_2_is_euclid(shared):
    other = encode(PAIR, 64, metric="minkowski", p=2.0, shared=shared)
    near(other, encode(PAIR, 64, shared=shared), rtol=0, atol=1e-5)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("metric", METRICS)
def test_tensors_give_tensors_on_their_device(device, metric):
    points = torch.tensor(pairs(3), device=device)
    points[1, 0] = torch.nan
    maps = encode(points, 32, 125.0, metric)
    assert (maps.device.type, maps.dtype) == (device, torch.float32)
    near(maps.cpu(), encode(points.cpu().numpy(), 32, 125.0, metric), rtol=0, atol=1e-5)


def test_encode_works_in_single_precision_and_leaves_its_argument_alone():
    points = torch.tensor(PAIR, requires_grad=True)
    maps = encode(points, 32)
    assert maps.dtype == torch.float32 and not maps.requires_grad
    assert torch.equal(maps, encode(points.float(), 32))
    assert encode(PAIR, 32).dtype == np.float32 == encode(PAIR.astype(np.float16), 32).dtype
    before = PAIR.copy()
    encode(PAIR, 32, shared=True)
    assert (before == PAIR).all()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_decode_takes_tensors_of_any_float_type(device, dtype):
    maps = encode(torch.tensor(PAIR, device=device), 64).to(dtype).requires_grad_()
    found = decode(maps)
    assert isinstance(found, np.ndarray) and found.dtype == np.float32
    near(found, PAIR, rtol=0, atol=1e-2 if dtype is torch.float32 else 0.5)


def test_decode_rejects_what_it_cannot_decode():
    with pytest.raises(ValueError, match=r"shared=True .*\(batch, 1, side, side\)"):
        decode(encode(PAIR, 16), shared=True)
    with pytest.raises(ValueError, match=r"shared=False .*\(batch, 2 or more, side"):
        decode(encode(PAIR, 16, shared=True))
    with pytest.raises(ValueError, match="not .1, 2, 8, 16."):
        decode(encode(PAIR, 16)[:, :, :8])
    with pytest.raises(ValueError, match="choose from argmin"):
        decode(encode(PAIR, 16), "softmax")


def test_a_flat_map_has_no_bowl():
    flat = np.ones((1, 8, 8), np.float32)
    assert (decode_parabola(flat) == decode_argmin(flat)).all()


def test_half_width_of_the_window():
    assert (radius(None, 125.0, 512), radius(1.0, 125.0, 64)) == (31, 2)


def test_however_many_maps_there_are():
    maps = encode(np.random.default_rng(0).uniform(0, 511, (20, 2, 2)), 128).reshape(40, 128, 128)
    many = decode_centroid(np.tile(maps, (8, 1, 1)))[:40]
    near(many, decode_centroid(maps), rtol=0, atol=1e-4)


def test_one_bad_pixel_does_not_matter():
    point = np.array([[300.0, 200.0]])
    speck = saturate_(distance(point, 128), 125.0)
    speck[0, 100, 10] = -1.0
    assert np.linalg.norm(decode_argmin(speck) - point) > 200
    assert np.linalg.norm(decode_tanh(speck) - point) < 0.1


def test_no_pixel_is_lost_when_a_shared_map_is_split():
    one = encode(PAIR, 128, shared=True)[:, 0]
    sides = split_shared(one)
    assert sides.shape == (1, 2, 128, 128) and (sides.min(1) == one).all()
    assert np.linalg.norm(decode_argmin(sides[0]) - PAIR[0], axis=-1).max() < 4  # a cell


@pytest.mark.parametrize("floor", [0.0, 0.4])
@pytest.mark.parametrize("fainter", ["left", "right"])
def test_a_faint_blob_is_not_confused_with_the_other(fainter, floor):
    points = pairs(60, seed=3)
    maps = dict(zip(("right", "left"), np.moveaxis(encode(points, 128), 1, 0)))
    maps[fainter] = 0.6 + 0.4 * maps[fainter]  # only 0.4 deep
    shared = floor + (1 - floor) * np.minimum(maps["right"], maps["left"])
    found = decode(shared[:, None], shared=True)
    assert (np.diff(found[..., 0]) > 0).all()  # sorted: the right lung is at the image's left
    assert (np.linalg.norm(found - points, axis=-1).max(1) > 20).sum() == 0


@pytest.mark.parametrize("shared", [False, True])
def test_round_trip_at_side_256(shared):
    near(decode(encode(PAIR, 256, shared=shared), shared=shared), PAIR, rtol=0, atol=1e-3)


@pytest.mark.parametrize("beta", BETAS)
def test_round_trip_of_every_published_beta(beta):
    points = pairs(2, seed=beta)
    assert error(encode(points, 512, beta), points, beta=beta).mean() < 0.05


@pytest.mark.parametrize("side", [128, 256, 512])
def test_round_trip_at_the_border(side):
    corners = [[0.0, 0.0], [511.0, 511.0]], [[0.3, 250.0], [510.9, 3.3]]
    edges = np.array([*corners, [[-0.4, 511.4], [256.0, 511.4]]])
    near(decode(encode(edges, side), beta=125.0), edges, rtol=0, atol=0.05)


coordinate = st.floats(0, 511, width=32)


@settings(max_examples=20, deadline=None)
@given(coordinate, coordinate, st.sampled_from([128, 256]), st.floats(10, 250))
def test_round_trip_of_any_point(x, y, side, beta):
    points = np.array([[[x, y], [511 - x, y]]])
    near(decode(encode(points, side, beta), beta=beta), points, rtol=0, atol=0.05)


def test_a_beta_of_1_px_is_invisible_below_side_512():
    lows = {side: encode(pairs(100), side, 1.0).min((2, 3)) for side in (128, 256)}
    invisible = {side: (low > 0.99).mean() for side, low in lows.items()}
    assert invisible[128] > 0.8 > invisible[256] > 0.2


SHARP = encode(pairs(32, seed=1, margin=40), 128)
INNER = pairs(32, seed=1, margin=40)
AS_NETWORKS = {
    "bfloat16": torch.tensor(SHARP).bfloat16(),
    "half": SHARP.astype(np.float16),
    "raised": 0.15 + 0.8 * SHARP,
    "overshoot": 1.3 * SHARP - 0.15,
    "plateau": (SHARP - 0.25).clip(0, 0.7),
    "specks": SHARP - (unit_noise() > 3.5),
}


@pytest.mark.parametrize("fault", AS_NETWORKS)
def test_maps_as_networks_make_them(fault):
    "They raise the floor, overshoot below 0 and above 1, leave plateaus after a clamp."
    assert error(AS_NETWORKS[fault], INNER).mean() < 0.5


@pytest.mark.parametrize("decoder", DECODERS)
def test_an_answer_is_always_finite(decoder):
    flat = np.full((4, 2, 128, 128), 0.7, np.float32)
    bad = flat.copy()
    bad[:, :, 5], bad[:, :, 6], bad[:, :, 7] = np.nan, np.inf, -np.inf
    for maps in (flat, bad, 0 * flat, flat + 9, flat - 9, np.full_like(flat, np.nan)):
        assert np.isfinite(decode(maps, decoder)).all()
        assert np.isfinite(decode(maps[:, :1], decoder, shared=True)).all()


@pytest.mark.parametrize("metric", ["minkowski", "mahalanobis"])
def test_other_blobs_are_decoded(metric):
    assert error(encode(INNER, 128, metric=metric), INNER).mean() < 0.05


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_direction_is_not_a_place(decoder):
    assert error(encode(INNER, 128, metric="cosine"), INNER, decoder).mean() > 30


def cpu_seconds(f, n=3):
    "Shortest processor time of `f()` after one call to warm up."
    f()
    times = []
    for _ in range(n):
        start = time.process_time()
        f()
        times.append(time.process_time() - start)
    return min(times)


def test_encoding_is_faster_than_a_matrix_product_a_pixel():
    "As general-purpose Gaussian heatmap libraries work; engine/benchmark compares with such."

    def by_matrices(points, side, sigma=30.0):
        u = torch.tensor(centres(side))
        grid = torch.stack(torch.meshgrid(u, u, indexing="xy"), -1)
        v = (grid - points[..., None, None, :]).unsqueeze(-2)
        return torch.exp(-0.5 * (v @ (torch.eye(2) / sigma**2) @ v.mT)).squeeze(-1).squeeze(-1)

    batch = torch.rand(8, 2, 2) * 511
    ours, theirs = (cpu_seconds(lambda: f(batch, 256)) for f in (encode, by_matrices))
    print(f"encode {1e3 * ours:.1f} ms, matrices {1e3 * theirs:.0f} ms")
    assert ours < theirs


def test_positions_go_there_and_back():
    for side in (64, 96, 128, 512):
        near(to_frame(np.arange(side), side), centres(side), rtol=0, atol=1e-4)


@pytest.mark.parametrize("point", [(6.0, 250.0), (505.0, 250.0), (250.0, 6.0), (250.0, 505.0)])
def test_the_centre_of_gravity_is_not_pulled_inwards_at_a_border(point):
    "Its window is cut there, and keeps as much on either side of the landmark."
    points = np.array([[point, point]])
    found = decode(encode(points, 256, 50.0), "centroid", beta=50.0)
    near(found, points, atol=1.0)


def test_what_is_no_number_is_read_as_far_and_infinite_depth_as_near():
    near(_finite_maps(np.full((1, 2, 4, 4), np.nan, np.float32), False), 1)
    near(_finite_maps(np.full((1, 2, 4, 4), np.inf, np.float32), False), 1)
    near(_finite_maps(np.full((1, 2, 4, 4), -np.inf, np.float32), False), 0)


@pytest.mark.parametrize("function", [decode, decode_centroid, decode_parabola, decode_tanh])
def test_the_papers_beta_is_the_default(function):
    assert inspect.signature(function).parameters["beta"].default == 125
    assert inspect.signature(split_shared).parameters["beta"].default == 125
