"""Scores of detections: what the evaluation tool, the trainer and the report share."""
