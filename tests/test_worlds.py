"""The small worlds: what is seen follows from what is true, and from nothing else."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge, RidgeClassifier

from reliab_widgets.zoo.worlds import object as things
from reliab_widgets.zoo.worlds import road, scenes, specks
from reliab_widgets.zoo.worlds.road import Places
from reliab_widgets.zoo.worlds.texture import smooth

WORLDS = {
    "specks": specks.make,
    "road": road.make,
    "scenes": scenes.make,
    "street": lambda n, seed=0: scenes.make(n, seed, kind="street"),
    "object": things.make,
}


@pytest.mark.parametrize("name", WORLDS)
def test_the_seed_decides(name):
    first, again, other = (WORLDS[name](6, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.pixels, again.pixels)
    np.testing.assert_array_equal(first.labels, again.labels)
    assert first.pixels.dtype == np.uint8
    assert len(first.pixels) == len(first.labels) == 6
    assert (first.pixels != other.pixels).any((1, 2, 3)).all()
    assert len(np.unique(first.pixels.reshape(6, -1), axis=0)) == 6


# Texture


def test_smooth_noise_is_smoother_the_larger_the_blur():
    generator = np.random.default_rng(0)
    for blur in (1.0, 2.0):
        field = smooth(generator, 200, 32, blur, blur)
        neighbours = (field * np.roll(field, 1, axis=2)).mean()
        # White noise under a Gaussian of width s: correlation exp(-d^2 / 4 s^2) at distance d.
        assert neighbours == pytest.approx(np.exp(-1 / (4 * blur**2)), abs=0.02)


# Specks


def filtered(pixels, width):
    """Grey images under a Gaussian low-pass of this width in pixels."""
    grey = pixels[..., 0] / 255
    frequency = np.fft.fftfreq(32)
    distance = frequency[:, None] ** 2 + frequency[None] ** 2
    return np.fft.ifft2(np.fft.fft2(grey) * np.exp(-2 * (np.pi * width) ** 2 * distance)).real


def test_a_low_pass_takes_the_dots_and_leaves_the_blobs():
    pixels, labels = specks.make(600)

    def apart(images, kind):
        # The area under the ROC of the brightest pixel, for a kind against the plain ones.
        brightest = images.max((1, 2))
        kinds, plain = brightest[labels == kind], brightest[labels == 0]
        return (kinds[:, None] > plain).mean()

    sharp, soft = filtered(pixels, 0.0), filtered(pixels, 2.5)
    assert apart(sharp, 1) > 0.95
    assert apart(soft, 1) < 0.7
    assert apart(soft, 2) > 0.9


def test_brightness_gives_no_class_away():
    pixels, labels = specks.make(3000)
    means = pixels.mean((1, 2, 3))
    assert np.ptp([means[labels == kind].mean() for kind in range(3)]) < 0.5  # of 255


def test_a_linear_model_of_the_pixels_knows_little_of_specks():
    (x, y), (held_out, truth) = specks.make(2000, 1), specks.make(1000, 2)
    model = RidgeClassifier(1000).fit(x[..., 0].reshape(2000, -1) / 255.0, y)
    assert model.score(held_out[..., 0].reshape(1000, -1) / 255.0, truth) < 0.5


# Road


def places(**given):
    n = max((len(value) for value in given.values()), default=1)
    standing = dict.fromkeys(("curvature", "offset", "heading", "fog", "rain"), np.zeros(n))
    return Places(**{**standing, "light": np.ones(n), **given})


def test_steering_by_hand():
    # To the left where the car is too far right or points there, with the bend where it bends.
    seen = road.steering(
        places(
            curvature=np.array([0.5, 0, 0]),
            offset=np.array([0, 1.0, 0]),
            heading=np.array([0, 0, 0.1]),
        )
    )
    np.testing.assert_allclose(seen, [0.5, -0.4, -0.8])


def test_what_is_mirrored_looks_mirrored():
    n = 100  # grain and dashes differ, so their mean is compared
    here = places(curvature=np.full(n, 0.7), offset=np.full(n, 0.5), heading=np.full(n, 0.05))
    there = here._replace(curvature=-here.curvature, offset=-here.offset, heading=-here.heading)
    image, other = (road.view(where).astype(float).mean(0) for where in (here, there))
    assert np.abs(image - other[:, ::-1]).max() < 12
    assert np.abs(image - other).max() > 60


def test_the_middle_of_the_road_bends_as_told():
    seen = road.view(places(curvature=np.array([-1.0, 0.0, 1.0]))).astype(float)
    green = seen[:, 12, :, 1] > 1.3 * seen[:, 12, :, 0]  # the first row of the road: grass
    left, right = green[:, :16].sum(1), green[:, 16:].sum(1)
    assert left[0] < right[0]
    assert abs(left[1] - right[1]) <= 1
    assert left[2] > right[2]


def contrast(images, rows):
    """How much neighbours in a row differ, mean over 50 images of the same weather."""
    return np.abs(np.diff(images[:, rows].astype(float), axis=2)).mean()


def test_fog_hides_what_is_far_and_dusk_darkens_all():
    clear, dense = (road.view(places(fog=np.full(50, fog))) for fog in (0.0, 1.0))
    far, near = slice(12, 15), slice(28, 32)
    assert contrast(dense, far) < 0.4 * contrast(clear, far)
    assert contrast(dense, near) > 0.7 * contrast(clear, near)
    dusk, noon = (road.view(places(light=np.full(50, light))) for light in (0.0, 1.0))
    np.testing.assert_allclose(dusk.mean(), 0.35 * noon.mean(), rtol=0.02)


def test_rain_falls_where_it_rains():
    dry, light, heavy = (
        contrast(road.view(places(rain=np.full(50, rain))), slice(10)) for rain in (0.0, 0.5, 1.0)
    )
    assert dry == 0 < light < heavy


def test_who_steers_right_stays_on_the_road_and_who_does_not_leaves_it(monkeypatch):
    shape = np.random.default_rng(0).uniform(-1, 1, size=(20, 6))
    monkeypatch.setattr(road, "view", lambda places, seed: np.stack(places, 1))
    good = road.drive(lambda seen: road.steering(Places(*seen.T)), shape)
    assert np.abs(good).max() < 0.5
    bad = road.drive(lambda seen: np.zeros(len(seen)), np.full((1, 2), 0.5))
    # A straight line leaves a bend of 80 m radius by s^2 / 160, 3.5 m after 24 m.
    gone = np.flatnonzero(np.abs(bad[0]) >= road.HALF)[0] * road.STEP
    assert 20 < gone < 30
    assert (bad[0, -10:] == bad[0, -1]).all()


# Scenes


def test_the_floor_is_as_far_as_its_row_says():
    _, depth = scenes.make(40)
    row = 30  # 12.5 pixels below the horizon
    expected = 1.6 * 40 / 12.5
    assert (depth[:, 0, row] <= expected + 1e-5).all()  # things stand before the floor
    assert np.median(depth[:, 0, row]) == pytest.approx(expected)
    assert (depth[:, 0, :15].max((1, 2)) == 10).all()


def test_a_sphere_is_nearest_in_its_middle():
    rays = scenes._rays()
    centre = np.array([rays[20, 30, 0], rays[20, 30, 1], 1.0]) * 5
    hit = scenes._sphere(rays, centre, 0.5)
    along = np.linalg.norm(rays[20, 30])
    assert hit.depth[20, 30] == pytest.approx(5 - 0.5 / along)
    assert hit.depth[20, 30] * along == pytest.approx(
        (hit.depth * np.linalg.norm(rays, axis=2)).min()
    )
    np.testing.assert_allclose(hit.normal[20, 30], -rays[20, 30] / along)
    assert np.isinf(hit.depth[0, 0])


def test_a_box_begins_at_its_front():
    rays = scenes._rays()
    low, high = np.array([-0.5, -0.2, 4.0]), np.array([0.5, 0.8, 5.0])
    hit = scenes._box(rays, low, high)
    assert hit.depth[20, 24] == pytest.approx(4)
    assert hit.normal[20, 24].tolist() == [0, 0, -1]
    # Half a metre is 5 pixels of focal length 40 at 4 metres.
    assert np.isfinite(hit.depth[20, 19:29]).all() and np.isinf(hit.depth[20, [18, 29]]).all()


def test_streets_have_walls_and_rooms_do_not():
    row = 10  # above the horizon, where no thing stands
    room, street = (scenes.make(10, kind=kind).labels[:, 0, row] for kind in scenes.KINDS)
    assert (room == 10).mean() > 0.9
    assert (street[:, [0, -1]] < 7).all()


# Object


def one(kind, row=16.0, column=16.0, size=6.0, turn=0.0):
    given = (np.array([value]) for value in (things.KINDS.index(kind), row, column, size, turn))
    return things.Things(*given, np.ones((1, 3)))


def test_the_box_is_as_tight_as_can_be():
    _, boxes = things.paint(one("disc", row=10.0, column=20.0, size=5.0))
    np.testing.assert_allclose(boxes * 32, [[15, 5, 25, 15]])
    # A square with half a diagonal of 6 has sides of 8.5, and 12 when it stands on its corner.
    _, flat = things.paint(one("square"))
    _, turned = things.paint(one("square", turn=np.pi / 4))
    assert ((flat[:, 2:] - flat[:, :2]) * 32).tolist() == [[8, 8]]
    assert ((turned[:, 2:] - turned[:, :2]) * 32).tolist() == [[12, 12]]


@pytest.mark.parametrize("kind", things.KINDS)
def test_everything_bright_lies_in_the_box(kind):
    pixels, boxes = things.paint(one(kind, turn=0.3))
    rows, columns = np.nonzero(pixels[0].min(2) == 255)
    seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    np.testing.assert_allclose(boxes[0] * 32, seen)


def test_overlap_by_hand():
    boxes = np.array([[0, 0, 2, 2], [0, 0, 2, 2], [0, 0, 1, 1.0]])
    others = np.array([[0, 0, 2, 2], [1, 1, 3, 3], [2, 2, 3, 3.0]])
    np.testing.assert_allclose(things.overlap(boxes, others), [1, 1 / 7, 0])


def test_a_linear_model_of_the_pixels_finds_the_box_badly():
    (x, y), (held_out, truth) = things.make(2000, 1), things.make(500, 2)
    model = Ridge(1000).fit(x.reshape(2000, -1) / 255.0, y)
    found = model.predict(held_out.reshape(500, -1) / 255.0)
    assert things.overlap(found, truth).mean() < 0.5
