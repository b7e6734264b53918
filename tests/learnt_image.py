"""An image that a detector learns by heart, scored as a run is: what it is taught it must find."""

import torch
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage

from evaluation_samples import as_annotations
from scale_match.evaluation.tiny_evaluator import TinyObjectEvaluator

_WIDTH, _HEIGHT = 96, 64
# XYXY and class; sides of 6 to 14 px.
_OBJECTS = [
    ((8, 10, 16, 20), 0),
    ((40, 20, 47, 27), 1),
    ((60, 5, 68, 11), 0),
    ((70, 40, 84, 52), 1),
    ((22, 44, 30, 58), 0),
]
_COLOURS = ((220, 40, 40), (40, 60, 220))


def drawn_image():
    """Coloured rectangles of two classes on noise, as the mapper gives them for training."""
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (3, _HEIGHT, _WIDTH), generator=generator, dtype=torch.uint8)
    for (x1, y1, x2, y2), label in _OBJECTS:
        image[:, y1:y2, x1:x2] = torch.tensor(_COLOURS[label], dtype=torch.uint8)[:, None, None]
    instances = Instances((_HEIGHT, _WIDTH))
    instances.gt_boxes = Boxes(torch.tensor([box for box, _ in _OBJECTS], dtype=torch.float32))
    instances.gt_classes = torch.tensor([label for _, label in _OBJECTS])
    return {"image_id": 1, "image": image, "instances": instances}


def learn(model, sample, *, steps, lr=2e-3):
    """Trains a model on one image with a falling learning rate; returns its last losses."""
    torch.manual_seed(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    model.train()
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = lr * (1 - step / steps)
        with EventStorage(0):
            losses = model([sample])
        optimizer.zero_grad()
        sum(losses.values()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return {name: loss.item() for name, loss in losses.items()}


def ap50(model, sample):
    """AP50 of a model on the image, over objects of all sizes."""
    instances = sample["instances"]
    boxes = instances.gt_boxes.tensor
    corners = torch.cat([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], dim=1).tolist()
    truth = {
        "images": [{"id": 1, "file_name": "1.png", "width": _WIDTH, "height": _HEIGHT}],
        "categories": [{"id": k, "name": str(k)} for k in range(len(_COLOURS))],
        "annotations": [
            {"id": k, "image_id": 1, "category_id": label, "bbox": box, "area": box[2] * box[3]}
            | {"iscrowd": 0, "ignore": False, "uncertain": False}
            for k, (box, label) in enumerate(
                zip(corners, instances.gt_classes.tolist(), strict=True), start=1
            )
        ],
    }
    evaluator = TinyObjectEvaluator(annotations=as_annotations(truth))
    evaluator.reset()
    model.eval()
    with torch.no_grad():
        evaluator.process([sample], model([sample]))
    return evaluator.evaluate()["bbox"]["AP50_all"]
