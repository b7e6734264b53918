"""The main job: pretrain on large objects made tiny, fine-tune on tiles of the target, evaluate.

Stages, each in a folder of ``output`` (:mod:`scale_match.engine.transfer_stages`):

1. ``histogram``: object sizes of the target, saved.
2. ``pretrain``: training on the source with Scale Match towards the histogram.
3. ``tiles``: annotations of the target's tiles.
4. ``finetune``: training on the tiles from the pretrained weights; they pass by name and shape, a
   classifier for another number of classes starts anew.
5. ``evaluation``: detection on tiles of the test images, merged; average precision.
6. ``scratch`` and ``scratch_evaluation``: the same from the weights that the pretraining itself
   began with, for the same number of steps on the same batches.
7. ``pictures``: sizes before and after Scale Match, detections on a few test images.

``results.json`` comes last. A stage that is done with the same settings is skipped; a training that
was killed goes on from its last checkpoint.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode

from scale_match.engine.launch import check_device, launch
from scale_match.engine.logs import start_logs
from scale_match.engine.session import prepare
from scale_match.engine.torchrun import refuse_torchrun
from scale_match.engine.trainer import ScaleMatchTrainer, evaluate
from scale_match.engine.transfer_configs import (
    TransferConfigs,
    build_configs,
    config_fingerprint,
    data_fingerprint,
    pretraining_policy,
)
from scale_match.engine.transfer_pictures import SIZES_PLOT, draw_pictures
from scale_match.engine.transfer_report import peak_memory, policy_name, write_results
from scale_match.engine.transfer_settings import TransferSettings
from scale_match.engine.transfer_stages import Stage, StageOutcome
from scale_match.evaluation.tiny_evaluator import DETECTIONS_FILE, METRICS_FILE
from scale_match.storage.annotations import read_raw_coco
from scale_match.storage.files import file_sha256, write_json
from scale_match.storage.histograms import read_target_histogram, save_histogram
from scale_match.storage.policies import given_mu_sigma
from scale_match.storage.tiling import tile_annotations

__all__ = ["run_transfer"]

Json = Mapping[str, Any]

_FINAL_WEIGHTS = "model_final.pth"
_HISTOGRAM = "target.json"
_TILES = "target_tiles.json"
_METRICS = f"inference/{METRICS_FILE}"
_DETECTIONS = f"inference/{DETECTIONS_FILE}"
# A killed training loses at most this share of its steps, and at least this many make a share.
_CHECKPOINTS = 5
_LEAST_PERIOD = 20


def run_transfer(settings: TransferSettings) -> dict[str, Any]:
    """Run all stages that are not done yet, and write ``output/results.json``.

    Args:
        settings: See :class:`TransferSettings`.

    Returns:
        What is in ``results.json``: ``pretrained`` and ``scratch`` (metrics by name; empty without
        test images or without the second training), ``protocol``, ``seconds`` by stage, and what
        is needed to repeat it.

    Raises:
        InputError: A file, a config or a setting breaks a rule; found before the first training
            as far as possible.
    """
    refuse_torchrun("transfer.py")
    start_logs(settings.output)
    configs = build_configs(settings)
    check_device(configs.finetune.MODEL.DEVICE, key="--device cpu", num_gpus=settings.num_gpus)
    job = _Job(settings, configs)
    job.run()
    return write_results(settings, configs, job.outcomes)


class _Job:
    """The stages of one transfer, and what they gave so far.

    Attributes:
        outcomes: By the name of the stage, which is that of its folder.
    """

    def __init__(self, settings: TransferSettings, configs: TransferConfigs) -> None:
        self._settings = settings
        self._configs = configs
        self._source = data_fingerprint(settings.source)
        self._target = data_fingerprint(settings.target)
        self._test = None if settings.test is None else data_fingerprint(settings.test)
        self.outcomes: dict[str, StageOutcome] = {}
        self._names = _stage_names(settings)

    def run(self) -> None:
        """All stages in their order."""
        self._histogram()
        self._tile()  # before the long part: what cannot be cut into tiles is refused at once
        self._pretrain()
        self._train_on_target("finetune", weights=self._folder("pretrain") / _FINAL_WEIGHTS)
        self._evaluate("evaluation", of="finetune")
        if self._settings.scratch:
            self._train_on_target("scratch", weights=self._configs.pretrain.MODEL.WEIGHTS)
            self._evaluate("scratch_evaluation", of="scratch")
        self._pictures()

    def _histogram(self) -> None:
        """Saves the target's sizes; Scale Match needs nothing else of it."""
        node = self._configs.pretrain.SCALE_MATCH
        rate = node.EXCEPT_RATE if node.EXCEPT_RATE >= 0 else None
        options = {"bins": node.BINS, "log": node.LOG, "except_rate": rate}
        moved_to = None if node.POLICY == "gsm" else given_mu_sigma(node.MU_SIGMA)
        if moved_to is not None:
            options["mu_sigma"] = moved_to
        folder = self._folder("histogram")

        def work(_: bool) -> dict[str, Any]:
            path = self._settings.target.annotations
            histogram = read_target_histogram(path, **options)
            save_histogram(
                folder / _HISTOGRAM,
                histogram,
                log=node.LOG,
                except_rate=rate,
                source=str(path),
                source_sha256=file_sha256(path),
                mu_sigma=moved_to,
            )
            return {"boxes": histogram.num_boxes}

        stage_settings = {"target": self._target, **options}
        self._run("histogram", "Object sizes of the target", stage_settings, [_HISTOGRAM], work)

    def _pretrain(self) -> None:
        cfg = self._configs.pretrain
        policy = pretraining_policy(cfg)
        stage_settings = {
            "config": config_fingerprint(cfg),
            "initial_weights": str(cfg.MODEL.WEIGHTS),
            "source": self._source,
            "histogram": None if policy == "none" else self.outcomes["histogram"].settings_hash,
            "processes": self._settings.num_gpus,
        }
        cfg = cfg.clone()
        cfg.SCALE_MATCH.TARGET = str(self._scale_match_target(policy))
        title = f"Pretraining on the source ({policy_name(policy)})"
        self._train("pretrain", title, stage_settings, cfg)

    def _scale_match_target(self, policy: str) -> Path:
        """The histogram; the sizes themselves for gsm, which takes the moments of their logs."""
        if policy == "gsm":
            return self._settings.target.annotations
        return self._folder("histogram") / _HISTOGRAM

    def _tile(self) -> None:
        folder = self._folder("tiles")

        def work(_: bool) -> dict[str, Any]:
            path = self._settings.target.annotations
            tiled = tile_annotations(read_raw_coco(path), tile=self._settings.tile)
            write_json(folder / _TILES, tiled)
            return {"tiles": len(tiled["images"]), "boxes": len(tiled["annotations"])}

        stage_settings = {"target": self._target, "tile": list(self._settings.tile)}
        self._run("tiles", "Tiles of the target", stage_settings, [_TILES], work)

    def _train_on_target(self, name: str, *, weights: str | Path) -> None:
        pretrained = name == "finetune"
        before = self.outcomes["pretrain"].settings_hash if pretrained else str(weights)
        stage_settings = {
            "config": config_fingerprint(self._configs.finetune),
            "initial_weights": before,
            "target": self._target,
            "tiles": self.outcomes["tiles"].settings_hash,
            "processes": self._settings.num_gpus,
        }
        cfg = self._configs.finetune.clone()
        cfg.MODEL.WEIGHTS = str(weights)
        cfg.SCALE_MATCH.DATA.TRAIN_ANNOTATIONS = str(self._folder("tiles") / _TILES)
        cfg.SCALE_MATCH.DATA.TRAIN_IMAGES = str(self._settings.target.images)
        title = (
            "Fine-tuning on tiles of the target"
            if pretrained
            else "The same training on tiles of the target without pretraining"
        )
        self._train(name, title, stage_settings, cfg)

    def _evaluate(self, name: str, *, of: str) -> None:
        test = self._settings.test
        if test is None:
            return
        cfg = self._configs.finetune.clone()
        cfg.MODEL.WEIGHTS = str(self._folder(of) / _FINAL_WEIGHTS)
        cfg.OUTPUT_DIR = str(self._folder(name))
        cfg.SCALE_MATCH.DATA.TEST_ANNOTATIONS = str(test.annotations)
        cfg.SCALE_MATCH.DATA.TEST_IMAGES = str(test.images)

        def work(_: bool) -> dict[str, Any]:
            metrics = launch(
                evaluate,
                num_gpus=self._settings.num_gpus,
                device=cfg.MODEL.DEVICE,
                args=(cfg,),
            )
            return {"metrics": dict((metrics or {})["bbox"])}

        stage_settings = {"of": self.outcomes[of].settings_hash, "test": self._test}
        self._run(name, f"Evaluation on the test images ({of})", stage_settings, [_METRICS], work)

    def _pictures(self) -> None:
        test, policy = self._settings.test, pretraining_policy(self._configs.pretrain)
        found = None if test is None else self._folder("evaluation") / _DETECTIONS
        cfg = self._configs.pretrain.clone()
        cfg.SCALE_MATCH.TARGET = str(self._scale_match_target(policy))

        def work(_: bool) -> dict[str, Any]:
            return draw_pictures(
                self._folder("pictures"),
                cfg,
                target=self._settings.target,
                test=test,
                detections=found,
            )

        stage_settings = {
            "source": self._source,
            "target": self._target,
            "policy": policy,
            "pretrain": self.outcomes["pretrain"].settings_hash,
            "evaluation": None if found is None else self.outcomes["evaluation"].settings_hash,
        }
        self._run("pictures", "Pictures", stage_settings, [SIZES_PLOT], work)

    def _train(self, name: str, title: str, stage_settings: Json, cfg: CfgNode) -> None:
        """A training as a stage; ``cfg`` may be changed."""
        folder = self._folder(name)
        if self._settings.reset_head:
            stage_settings = {**stage_settings, "reset_head": True}
        cfg.OUTPUT_DIR = str(folder)

        def work(resume: bool) -> dict[str, Any]:
            result = launch(
                _train_process,
                num_gpus=self._settings.num_gpus,
                device=cfg.MODEL.DEVICE,
                args=(cfg, resume, self._settings.reset_head, self._settings.preflight),
            )
            for path in folder.glob("model_[0-9]*.pth"):
                path.unlink()  # the final weights are there
            return {**(result or {}), "peak_memory_bytes": peak_memory()}

        self._run(name, title, stage_settings, [_FINAL_WEIGHTS], work)

    def _run(
        self,
        name: str,
        title: str,
        stage_settings: Json,
        outputs: list[str],
        work: Callable[[bool], dict[str, Any]],
    ) -> None:
        # A training or evaluation has sent the messages into its own folder.
        start_logs(self._settings.output)
        title = f"[{self._names.index(name) + 1}/{len(self._names)}] {title}"
        stage = Stage(title, self._folder(name), stage_settings, outputs)
        self.outcomes[name] = stage.run(work)

    def _folder(self, name: str) -> Path:
        return self._settings.output / name


def _stage_names(settings: TransferSettings) -> list[str]:
    """The stages of a transfer in their order."""
    evaluated = settings.test is not None
    names = ["histogram", "tiles", "pretrain", "finetune"]
    names += ["evaluation"] if evaluated else []
    names += ["scratch"] if settings.scratch else []
    names += ["scratch_evaluation"] if settings.scratch and evaluated else []
    return [*names, "pictures"]


def _train_process(cfg: CfgNode, resume: bool, reset_head: bool, preflight: bool) -> dict[str, Any]:
    """One training, in each of its processes."""
    cfg = prepare(cfg, training=True).clone()
    cfg.defrost()
    often = max(cfg.SOLVER.MAX_ITER // _CHECKPOINTS, _LEAST_PERIOD)
    cfg.SOLVER.CHECKPOINT_PERIOD = min(cfg.SOLVER.CHECKPOINT_PERIOD, often)
    cfg.freeze()
    trainer = ScaleMatchTrainer(cfg)
    trainer.resume_or_load(resume=resume, reset_head=reset_head)
    if preflight:
        trainer.preflight()
    trainer.train()
    return {"steps": trainer.max_iter, "images_per_step": cfg.SOLVER.IMS_PER_BATCH}
