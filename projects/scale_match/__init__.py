"""Scale Match for tiny-object detection: a Detectron2 project.

Reading order: ``core`` (the method in NumPy), ``storage`` (files), then the Detectron2 adaptors
``data``, ``modeling``, ``inference`` and ``evaluation``, ``config`` (every yacs key), and
``engine`` (training). ``report`` draws, ``toy`` makes data. Importing this package has no side
effects; ``scale_match.engine.registration.register_all`` registers what Detectron2 looks up by
name.
"""

__version__ = "0.1.0"
