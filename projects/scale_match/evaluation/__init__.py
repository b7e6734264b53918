"""The Detectron2 evaluator of AP50_tiny."""
