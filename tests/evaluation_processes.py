"""Handing images to the evaluator; here, because started processes import it by name."""

import json

import torch
from detectron2.structures import Boxes, Instances
from detectron2.utils import comm

from evaluation_samples import as_annotations, crowded
from scale_match.evaluation.tiny_evaluator import TinyObjectEvaluator

CLASSES = {2: 0, 4: 1, 7: 2}


def sample(seed=0):
    """Annotations, and the content of a results file without undeclared categories."""
    ground_truth, results = crowded(seed)
    return ground_truth, [entry for entry in results if entry["category_id"] in CLASSES]


def model_output(results, image_id):
    """What a detectron2 model returns for one image."""
    found = [entry for entry in results if entry["image_id"] == image_id]
    boxes = torch.tensor([entry["bbox"] for entry in found], dtype=torch.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    instances = Instances((110, 110))
    instances.pred_boxes = Boxes(boxes)
    instances.scores = torch.tensor([entry["score"] for entry in found], dtype=torch.float32)
    classes = [CLASSES[entry["category_id"]] for entry in found]
    instances.pred_classes = torch.tensor(classes, dtype=torch.int64)
    return {"instances": instances}


def process(evaluator, ground_truth, results, image_ids=None):
    """Hand images to the evaluator one by one, as a test loader does."""
    ids = [image["id"] for image in ground_truth["images"]] if image_ids is None else image_ids
    for image_id in ids:
        evaluator.process([{"image_id": image_id}], [model_output(results, image_id)])


def evaluate_a_share(folder):
    """One of two processes of ``launch``, each with half of the images."""
    ground_truth, results = sample()
    evaluator = TinyObjectEvaluator(
        annotations=as_annotations(ground_truth), output_dir=folder / "inference"
    )
    evaluator.reset()
    ids = [image["id"] for image in ground_truth["images"]]
    process(evaluator, ground_truth, results, ids[comm.get_rank() :: comm.get_world_size()])
    (folder / f"{comm.get_rank()}.json").write_text(json.dumps(evaluator.evaluate()))
