"""Evaluation of a model on a data set, the same during and after training, in both front ends."""

from collections.abc import Iterable
from typing import Any

from detectron2.evaluation import DatasetEvaluator, inference_on_dataset
from torch import nn

from scale_match.engine.loading import dead_workers_explained
from scale_match.engine.protocol import model_protocol
from scale_match.evaluation.tiny_evaluator import TinyObjectEvaluator

__all__ = ["Metrics", "evaluate_model"]

Metrics = dict[str, Any]


def evaluate_model(
    model: nn.Module, loader: Iterable[list[dict[str, Any]]], evaluator: DatasetEvaluator
) -> Metrics:
    """Runs a model over a data set; the training mode of each of its parts stays as it was.

    Args:
        model: A detectron2 model or a wrapper with its contract.
        loader: Batches of a known number.
        evaluator: Gathers over processes. A TinyObjectEvaluator is told the model's protocol.

    Returns:
        Nested metrics in the first process, nothing in the others.

    Raises:
        InputError: An image cannot be read.
    """
    if isinstance(evaluator, TinyObjectEvaluator):
        # The test loaders of this project have such a data set; another one's is not known.
        mapper = getattr(getattr(loader, "dataset", None), "mapper", None)
        evaluator.model_protocol = model_protocol(model, mapper)
    modes = [(module, module.training) for module in model.modules()]
    try:
        with dead_workers_explained():
            return dict(inference_on_dataset(model, loader, evaluator))
    finally:
        for module, mode in modes:
            module.training = mode
