"""Arguments of `scale_match.inference.tiled_model.TiledModel`, and whether it is used."""

tiles = {
    # False = the model sees whole images.
    "enabled": True,
    "tile": [640, 512],
    "overlap": [100, 100],
    "merge": "auto",
    "nms_threshold": 0.5,
    "max_detections": 1000,
    "max_detections_per_tile": None,
    "batch_size": 4,
}
