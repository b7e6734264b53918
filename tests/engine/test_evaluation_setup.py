import json

import pytest
from detectron2.evaluation import DatasetEvaluator
from torch import nn

from evaluation_samples import as_annotations
from scale_match.core.errors import InputError
from scale_match.engine.evaluation_setup import evaluate_model
from scale_match.evaluation.tiny_evaluator import TinyObjectEvaluator


class Count(DatasetEvaluator):
    def reset(self):
        self.modes = []

    def process(self, inputs, outputs):
        self.modes += outputs

    def evaluate(self):
        return {"bbox": {"images": float(len(self.modes))}}


class Parts(nn.Module):
    """In training, but for one part; says at each call which parts are in training."""

    def __init__(self, error=None):
        super().__init__()
        self.free, self.fixed = nn.Identity(), nn.Identity()
        self.fixed.eval()
        self.error = error

    def forward(self, batch):
        if self.error:
            raise self.error
        return [(self.training, self.free.training, self.fixed.training) for _ in batch]

    def modes(self):
        return (self.training, self.free.training, self.fixed.training)


def test_the_model_is_evaluated_in_evaluation_mode_and_left_as_it_was():
    model, evaluator = Parts(), Count()
    results = evaluate_model(model, [[{}], [{}], [{}]], evaluator)
    assert results == {"bbox": {"images": 3.0}}
    assert evaluator.modes == [(False, False, False)] * 3
    assert model.modes() == (True, True, False)


@pytest.mark.parametrize("error", [InputError("bad image"), ZeroDivisionError("a fault")])
def test_modes_are_put_back_after_an_error_too(error):
    model = Parts(error)
    with pytest.raises(type(error), match=str(error)):
        evaluate_model(model, [[{}]], Count())
    assert model.modes() == (True, True, False)


def test_an_evaluator_of_tiny_objects_is_told_the_protocol(tmp_path):
    class Loader(list):
        dataset = None

    annotations = as_annotations(
        {"images": [{"id": 1, "file_name": "a", "width": 9, "height": 9}],
         "annotations": [], "categories": [{"id": 1, "name": "x"}]}
    )  # fmt: skip
    evaluator = TinyObjectEvaluator(annotations=annotations, output_dir=tmp_path)
    evaluate_model(Parts(), Loader(), evaluator)
    assert evaluator.model_protocol["tile_size"] == "none"
    assert json.loads((tmp_path / "protocol.json").read_text()) == evaluator.model_protocol


def test_a_dead_worker_of_the_loader_is_said():
    def dies():
        raise RuntimeError("DataLoader worker (pid 12) is killed by signal: Killed. ")

    class Loader:
        def __len__(self):
            return 1

        def __iter__(self):
            return iter(dies, None)

    with pytest.raises(InputError, match=r"worker \(pid 12\) is killed.*num_workers"):
        evaluate_model(Parts(), Loader(), Count())
