import numpy as np
import pytest
from detectron2.data import transforms as T  # noqa: N812 - as detectron2 names it
from PIL import Image

from scale_match.core.histogram import SizeHistogram
from scale_match.core.scale_policy import SampledScaleMatch, ScaleDecision
from scale_match.data.augmentation import ScaleMatch, ScaleMatchAugInput, ScaleMatchTransform
from scale_match.data.image_reading import EncodedImage

IMAGE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
BOXES = np.array([[10.0, 10.0, 30.0, 20.0], [0.0, 5.0, 8.5, 45.0]])


class FixedPolicy:
    """Decides on a given size and remembers what it was asked."""

    num_uniforms = 6

    def __init__(self, size=(30, 40)):
        self.size = size
        self.asked = []

    def decide(self, boxes_xywh, width, height, uniforms):
        self.asked.append((boxes_xywh.tolist(), width, height, uniforms))
        return ScaleDecision(0.5, self.size, np.ones(len(boxes_xywh), bool), False, None)


def run(policy, seed=0, boxes=BOXES):
    aug_input = ScaleMatchAugInput(IMAGE, boxes=boxes, rng=np.random.default_rng(seed))
    return aug_input, ScaleMatch(policy)(aug_input)


def test_the_policy_sees_boxes_size_and_fresh_uniforms():
    policy = FixedPolicy()
    run(policy, seed=5)
    ((boxes, width, height, uniforms),) = policy.asked
    assert boxes == [[10, 10, 20, 10], [0, 5, 8.5, 40]]
    assert (width, height) == (80, 60)
    assert uniforms.tolist() == np.random.default_rng(5).random(6).tolist()


def test_image_and_boxes_get_the_size_that_the_policy_decided_on():
    aug_input, transform = run(FixedPolicy((15, 40)))
    assert aug_input.image.shape == (15, 40, 3)
    assert aug_input.boxes.tolist() == [[5, 2.5, 15, 5], [0, 1.25, 4.25, 11.25]]
    assert aug_input.boxes.dtype == np.float64
    assert isinstance(transform, ScaleMatchTransform)
    assert transform.decision.scale == 0.5


def test_the_resize_is_antialiased():
    aug_input, _ = run(FixedPolicy((15, 20)))
    expected = np.asarray(Image.fromarray(IMAGE).resize((20, 15), Image.Resampling.BILINEAR))
    assert np.abs(aug_input.image - expected.astype(int)).max() <= 1
    # Every pixel of noise counts: a plain bilinear filter reads only 4 of 16 and varies more.
    assert aug_input.image.std() < IMAGE.std() / 2


def test_the_same_generator_gives_the_same_scale_and_another_one_another():
    policy = SampledScaleMatch(SizeHistogram.from_sizes(np.arange(4.0, 12.0, 0.01)))
    scales = [run(policy, seed)[1].decision.scale for seed in (1, 1, 2)]
    assert scales[0] == scales[1] != scales[2]


def test_it_works_in_a_list_with_stock_augmentations():
    aug_input = ScaleMatchAugInput(IMAGE, boxes=BOXES, rng=np.random.default_rng(0))
    transforms = T.AugmentationList([ScaleMatch(FixedPolicy()), T.RandomFlip(prob=1.0)])(aug_input)
    assert isinstance(transforms.transforms[0], ScaleMatchTransform)
    assert aug_input.boxes.tolist() == [[25, 5, 35, 10], [35.75, 2.5, 40, 22.5]]


def test_an_image_without_boxes_is_resized_too():
    aug_input, _ = run(FixedPolicy(), boxes=np.zeros((0, 4)))
    assert aug_input.image.shape == (30, 40, 3)
    assert aug_input.boxes.shape == (0, 4)


@pytest.fixture
def encoded(tmp_path):
    y, x = np.mgrid[:60, :80]
    pixels = np.stack([110 + 50 * np.sin(x / 7 + y / shift) for shift in (5.0, 9.0, 15.0)], axis=2)
    Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "a.jpg", quality=95)
    return EncodedImage(str(tmp_path / "a.jpg"), "RGB")


@pytest.mark.parametrize(
    ("size", "difference"),
    [((60, 80), 0), ((30, 40), 0), ((17, 20), 0), ((15, 20), 0.5), ((6, 8), 1)],
)
def test_a_file_gives_what_its_pixels_give(encoded, size, difference):
    results = []
    for image in (encoded.pixels(), encoded):
        aug_input = ScaleMatchAugInput(image, boxes=BOXES, rng=np.random.default_rng(3))
        assert aug_input.image_size == (60, 80)
        transform = ScaleMatch(policy := FixedPolicy(size))(aug_input)
        ((*asked, uniforms),) = policy.asked
        decision = transform.decision.size, transform.decision.keep.tolist()
        facts = aug_input.boxes.tolist(), asked, uniforms.tolist(), decision, aug_input.image_size
        results.append((facts, aug_input.image))
    (expected_facts, expected), (facts, image) = results
    assert facts == expected_facts
    assert image.shape == expected.shape
    assert np.abs(image - expected.astype(int)).mean() <= difference


def test_a_file_is_decoded_once_and_only_if_its_pixels_are_asked_for(encoded, monkeypatch):
    calls = []
    for name in ("pixels", "resized"):
        original = getattr(encoded, name)
        monkeypatch.setattr(
            encoded,
            name,
            lambda *args, name=name, call=original: (calls.append(name), call(*args))[1],
        )

    def augmented(*augmentations):
        calls.clear()
        aug_input = ScaleMatchAugInput(encoded, boxes=BOXES, rng=np.random.default_rng(3))
        T.AugmentationList(augmentations)(aug_input)
        before = list(calls)
        assert aug_input.image.shape == aug_input.image.shape
        return before, list(calls)

    flip, scale = T.RandomFlip(prob=1.0), ScaleMatch(FixedPolicy((15, 20)))
    assert augmented() == ([], ["pixels"])
    assert augmented(scale) == (["resized"], ["resized"])
    assert augmented(scale, flip) == (["resized"], ["resized"])
    # Turned first, it is no longer the file's image.
    assert augmented(flip, scale) == (["pixels"], ["pixels"])
    assert augmented(T.HFlipTransform(80), scale) == (["pixels"], ["pixels"])


def test_float_pixels_are_resized_as_by_detectron2():
    image = IMAGE / 255.0
    aug_input = ScaleMatchAugInput(image, boxes=BOXES, rng=np.random.default_rng(0))
    ScaleMatch(FixedPolicy((15, 20)))(aug_input)
    assert (aug_input.image == T.ResizeTransform(60, 80, 15, 20).apply_image(image)).all()


def test_an_input_without_a_generator_is_refused():
    with pytest.raises(AttributeError, match="needs input attribute 'rng'"):
        ScaleMatch(FixedPolicy())(T.AugInput(IMAGE, boxes=BOXES))
