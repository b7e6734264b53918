import pytest

from scale_match.core.errors import InputError
from scale_match.engine.weights import check_weights, compare_weights

MODEL = {
    "backbone.conv1.weight": (8, 3, 3, 3),
    "backbone.conv1.num_batches_tracked": (),
    "head.cls_score.weight": (9, 8, 3, 3),
    "head.cls_score.bias": (9,),
    "head.bbox_pred.weight": (36, 8, 3, 3),
}


def compare(in_file):
    return compare_weights("w.pth", in_file, MODEL)


def test_equal_names_and_shapes_are_kept():
    report = compare(MODEL)
    assert report.kept == tuple(MODEL)
    assert (report.dropped, report.missing, report.unused) == ((), (), ())
    check_weights(report, all_needed=True)


def test_another_number_of_classes_drops_the_classification_layer_only():
    file = {**MODEL, "head.cls_score.weight": (720, 8, 3, 3), "head.cls_score.bias": (720,)}
    report = compare(file)
    assert [one.name for one in report.dropped] == ["head.cls_score.weight", "head.cls_score.bias"]
    check_weights(report, all_needed=False)
    assert (
        "2  dropped, start anew: head.cls_score.weight: (720, 8, 3, 3) in the file, "
        "(9, 8, 3, 3) in the model"
    ) in report.describe()


def test_another_number_of_classes_is_refused_where_nothing_may_start_anew():
    report = compare({**MODEL, "head.cls_score.bias": (720,)})
    with pytest.raises(InputError, match=r"w\.pth does not fit.*cls_score.bias: \(720,\)"):
        check_weights(report, all_needed=True)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("backbone.conv1.weight", (16, 3, 3, 3)),
        ("head.bbox_pred.weight", (12, 8, 3, 3)),
        # The number of classes changes the outputs of the layer, not its inputs.
        ("head.cls_score.weight", (9, 16, 3, 3)),
    ],
)
def test_another_shape_elsewhere_means_another_model(name, shape):
    with pytest.raises(InputError, match=f"weights of another model: {name}"):
        check_weights(compare({**MODEL, name: shape}), all_needed=False)


def test_weights_of_the_backbone_alone_are_enough_to_train():
    report = compare({"backbone.conv1.weight": (8, 3, 3, 3), "fc.weight": (1000, 8)})
    check_weights(report, all_needed=False)
    assert report.missing == (
        "head.cls_score.weight",
        "head.cls_score.bias",
        "head.bbox_pred.weight",
    )
    assert report.unused == ("fc.weight",)
    with pytest.raises(InputError, match=r"no head\.cls_score\.weight"):
        check_weights(report, all_needed=True)


def test_a_file_without_any_backbone_parameter_is_refused():
    report = compare({"layers.0.weight": (3, 3), "head.cls_score.bias": (9,)})
    with pytest.raises(InputError, match=r"none of its parameters has the name of a backbone"):
        check_weights(report, all_needed=False)


def test_counters_of_batches_do_not_matter():
    file = {name: shape for name, shape in MODEL.items() if "tracked" not in name}
    report = compare({**file, "backbone.other.num_batches_tracked": ()})
    assert (report.missing, report.unused) == ((), ())
    check_weights(report, all_needed=True)


def test_the_report_shows_the_first_names_of_a_long_list():
    report = compare({**MODEL, **{f"extra{index}": (1,) for index in range(7)}})
    assert "7  in the file, not used: extra0, extra1, extra2, extra3, extra4 and 2 more" in (
        report.describe()
    )


def test_a_model_without_a_backbone_is_compared_as_a_whole():
    report = compare_weights("w.pth", {"weight": (2, 2)}, {"weight": (2, 2), "bias": (2,)})
    check_weights(report, all_needed=False)
    report = compare_weights("w.pth", {"other": (2, 2)}, {"weight": (2, 2)})
    with pytest.raises(InputError, match="none of its parameters has the name of a parameter"):
        check_weights(report, all_needed=False)
