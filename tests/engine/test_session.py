import json
import logging

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from engine.tiny import YACS_FILE, make_data, yacs_opts
from scale_match.core.errors import InputError
from scale_match.engine.run_config import save_config
from scale_match.engine.session import prepare, shared_seed, yacs_config


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("data"))


def prepared(data, output, *, training=True, **changes):
    return prepare(yacs_config(YACS_FILE, yacs_opts(data, output, **changes)), training=training)


def without(options, key):
    """Overrides, but for one key."""
    pairs = zip(options[::2], options[1::2], strict=True)
    return [word for pair in pairs if pair[0] != key for word in pair]


def by_epochs(data, output, **changes):
    """A config whose file names iterations and whose command line names epochs."""
    options = without(yacs_opts(data, output, **changes), "SOLVER.MAX_ITER")
    return prepare(yacs_config(YACS_FILE, options), training=True)


def test_overrides_come_after_the_file_and_the_file_after_the_defaults():
    assert yacs_config("").SOLVER.MAX_ITER == 40000
    assert yacs_config(YACS_FILE).SOLVER.MAX_ITER == 20
    assert yacs_config(YACS_FILE, ["SOLVER.MAX_ITER", "5"]).SOLVER.MAX_ITER == 5


def test_a_config_file_that_is_not_there_is_said(tmp_path):
    with pytest.raises(InputError, match=r"config file .*none\.yaml does not exist"):
        yacs_config(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SOLVER:\n  MAX_ITR: 5\n", r"unknown config key SOLVER.MAX_ITR \(did you mean SOLVER.MAX"),
        ("SOLVER: [1\n", "is not valid YAML"),
        ("SOLVER:\n  MAX_ITER: many\n", "cannot be used as a config: .*MAX_ITER"),
        ("just words\n", "cannot be used as a config"),
        ("", "cannot be used as a config"),
        ("_BASE_: none.yaml\n", r"cannot be used as a config: .*none\.yaml"),
    ],
)
def test_a_config_file_with_a_mistake_is_refused_with_its_name(tmp_path, text, message):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=rf"mine\.yaml.*{message}"):
        yacs_config(path)


@pytest.mark.parametrize(
    ("opts", "message"),
    [
        (["SOLVER.MAX_ITR", "5"], r"unknown config key SOLVER\.MAX_ITR \(did you mean SOLVER\.MA"),
        (["SOLVER", "5"], "unknown config key SOLVER"),
        (["Q", "5"], "on the command line: unknown config key Q$"),
        (["SOLVER.MAX_ITER"], "KEY VALUE pairs, received 1 words: SOLVER.MAX_ITER"),
        (["SOLVER.MAX_ITER", "many"], "SOLVER.MAX_ITER cannot be 'many'"),
    ],
)
def test_an_override_with_a_mistake_is_refused(opts, message):
    with pytest.raises(InputError, match=message):
        yacs_config(YACS_FILE, opts)


def test_files_named_by_keys_become_data_sets(data, tmp_path):
    cfg = prepared(data, tmp_path)
    assert cfg.DATASETS.TRAIN == cfg.DATASETS.TEST
    (name,) = cfg.DATASETS.TRAIN
    assert name.startswith("annotations_")
    assert len(DatasetCatalog.get(name)) == 6
    assert MetadataCatalog.get(name).json_file == str(data[0])


def test_an_epoch_count_gives_the_iterations_of_the_data(data, tmp_path):
    options = yacs_opts(data, tmp_path, SCALE_MATCH__SOLVER__EPOCHS=12, MODEL__DEVICE="cpu")
    cfg = yacs_config("", without(options, "SOLVER.MAX_ITER"))
    settled = prepare(cfg, training=True)
    # 6 images in batches of 2.
    assert (settled.SOLVER.MAX_ITER, settled.SOLVER.STEPS) == (36, (24, 33))
    assert cfg.SOLVER.MAX_ITER == 40000  # detectron2's default: not asked for


def test_iterations_on_the_command_line_win_over_epochs(data, tmp_path):
    cfg = prepared(data, tmp_path, SOLVER__MAX_ITER=12)
    assert cfg.SCALE_MATCH.SOLVER.EPOCHS == 12
    assert (cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS) == (12, (8, 11))


def test_without_epochs_iterations_and_steps_count(data, tmp_path):
    cfg = prepared(
        data,
        tmp_path,
        SCALE_MATCH__SOLVER__EPOCHS=0,
        SOLVER__MAX_ITER=30000,
        SOLVER__STEPS="(100,)",
    )
    assert (cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS) == (30000, (100,))


def test_images_without_a_box_to_train_on_do_not_count(tmp_path):
    annotations, images = make_data(tmp_path / "data")
    content = json.loads(annotations.read_text())
    for box in content["annotations"]:
        box["ignore"] = box["image_id"] <= 2
    annotations.write_text(json.dumps(content))
    options = {"SCALE_MATCH__SOLVER__EPOCHS": 1}
    cfg = by_epochs((annotations, images), tmp_path / "a", **options)
    assert cfg.SOLVER.MAX_ITER == 2
    options["DATALOADER__FILTER_EMPTY_ANNOTATIONS"] = False
    cfg = by_epochs((annotations, images), tmp_path / "b", **options)
    assert cfg.SOLVER.MAX_ITER == 3


def test_batch_and_rate_follow_the_number_of_processes_where_a_reference_is_given(data, tmp_path):
    cfg = by_epochs(
        data,
        tmp_path,
        SOLVER__REFERENCE_WORLD_SIZE=2,
        SOLVER__IMS_PER_BATCH=4,
        SCALE_MATCH__SOLVER__EPOCHS=3,
    )
    # One process instead of two: half the batch, so an epoch has twice the iterations.
    assert cfg.SOLVER.IMS_PER_BATCH == 2
    assert pytest.approx(0.0005) == cfg.SOLVER.BASE_LR
    assert cfg.SOLVER.MAX_ITER == 9


# A file for batches of 2 images; SGD, as the rule asks for.
REFERENCE = {
    "SCALE_MATCH__SOLVER__OPTIMIZER": "sgd",
    "SCALE_MATCH__SOLVER__REFERENCE_BATCH": 2,
    "SOLVER__IMS_PER_BATCH": 4,
}


def referring(data, output, *options, **changes):
    """A run of a file that has all of a schedule for batches of 2, with batches of 4."""
    path = output / "file.yaml"
    output.mkdir(parents=True, exist_ok=True)
    text = f"""
_BASE_: {YACS_FILE}
SOLVER: {{BASE_LR: 0.01, MAX_ITER: 600, STEPS: [400, 500], WARMUP_ITERS: 50, CHECKPOINT_PERIOD: 30}}
TEST: {{EVAL_PERIOD: 100}}
SCALE_MATCH: {{SOLVER: {{EPOCHS: 0, VALIDATION_LOSS_PERIOD: 40}}}}
"""
    path.write_text(text)
    words = yacs_opts(data, output, **{**REFERENCE, **changes})
    for key in ("SOLVER.MAX_ITER", "SOLVER.WARMUP_ITERS"):
        words = without(words, key)
    return prepare(yacs_config(path, [*words, *options]), training=True)


def schedule_of(cfg):
    solver = cfg.SOLVER
    return solver.BASE_LR, solver.MAX_ITER, solver.STEPS, solver.WARMUP_ITERS


def test_rate_and_iterations_are_rescaled_for_the_batch_that_is_used(data, tmp_path):
    cfg = referring(data, tmp_path)
    assert schedule_of(cfg) == (0.02, 300, (200, 250), 25)
    assert (cfg.SOLVER.CHECKPOINT_PERIOD, cfg.TEST.EVAL_PERIOD) == (15, 50)
    log = (tmp_path / "log.txt").read_text()
    assert (
        "Learning rate: 0.01 for batches of 2 images (SCALE_MATCH.SOLVER.REFERENCE_BATCH) x 4 / 2 "
        "= 0.02. Iterations x 2 / 4: SOLVER.MAX_ITER 600 -> 300, SOLVER.STEPS (400, 500) -> "
        "(200, 250), SOLVER.WARMUP_ITERS 50 -> 25, SOLVER.CHECKPOINT_PERIOD 30 -> 15, "
        "TEST.EVAL_PERIOD 100 -> 50, SCALE_MATCH.SOLVER.VALIDATION_LOSS_PERIOD 40 -> 20."
    ) in log


def test_keys_of_the_command_line_are_not_rescaled_and_steps_follow_them(data, tmp_path):
    cfg = referring(data, tmp_path, "SOLVER.BASE_LR", "0.03", "SOLVER.MAX_ITER", "60")
    assert schedule_of(cfg) == (0.03, 60, (40, 50), 25)
    log = (tmp_path / "log.txt").read_text()
    assert "taken as it is because the command line names SOLVER.BASE_LR" in log
    assert "As the command line has them: SOLVER.MAX_ITER, SOLVER.STEPS." in log


def test_the_saved_config_is_not_rescaled_again_but_for_another_batch(data, tmp_path):
    first = referring(data, tmp_path / "a")
    save_config(first, tmp_path / "a")
    again = prepare(yacs_config(tmp_path / "a" / "config.yaml"), training=True)
    assert schedule_of(again) == schedule_of(first)
    assert again.SCALE_MATCH.SOLVER.REFERENCE_BATCH == 4
    options = ["SOLVER.IMS_PER_BATCH", "2"]
    back = prepare(yacs_config(tmp_path / "a" / "config.yaml", options), training=True)
    assert schedule_of(back) == (0.01, 600, (400, 500), 50)


def test_epochs_are_not_rescaled_but_the_warm_up_is(data, tmp_path):
    cfg = by_epochs(
        data, tmp_path, **REFERENCE, SCALE_MATCH__SOLVER__EPOCHS=6, SOLVER__WARMUP_ITERS=2
    )
    # 6 images in batches of 4 are 2 iterations; the warm-up is named on the command line.
    assert (cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS, cfg.SOLVER.WARMUP_ITERS) == (12, (8, 11), 2)
    words = without(yacs_opts(data, tmp_path, **REFERENCE), "SOLVER.WARMUP_ITERS")
    cfg = prepare(yacs_config(YACS_FILE, words), training=True)
    assert cfg.SOLVER.WARMUP_ITERS == 2  # 5 of the file x 2 / 4


def test_two_references_are_refused(data, tmp_path):
    with pytest.raises(
        InputError, match=r"REFERENCE_BATCH \(2\) and SOLVER.REFERENCE_WORLD_SIZE \(1"
    ):
        prepared(data, tmp_path, **REFERENCE, SOLVER__REFERENCE_WORLD_SIZE=1)


def test_the_linear_rule_is_refused_for_adamw(data, tmp_path):
    with pytest.raises(InputError, match=r"SOLVER\.REFERENCE_BATCH is 2 and .* is for SGD only"):
        prepared(data, tmp_path, **{**REFERENCE, "SCALE_MATCH__SOLVER__OPTIMIZER": "adamw"})


def test_epochs_on_the_command_line_win_over_iterations_of_the_file(data, tmp_path):
    # The file has MAX_ITER 20, EPOCHS 12 and STEP_EPOCHS 8, 11.
    cfg = by_epochs(data, tmp_path, SCALE_MATCH__SOLVER__EPOCHS=6)
    assert (cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS) == (18, (12, 16))


def test_iterations_equal_to_the_default_are_obeyed_when_they_are_named(data, tmp_path):
    assert prepared(data, tmp_path, SOLVER__MAX_ITER=40000).SOLVER.MAX_ITER == 40000


def test_another_batch_reaches_the_length_of_an_epoch(data, tmp_path):
    cfg = by_epochs(data, tmp_path, SCALE_MATCH__SOLVER__EPOCHS=12, SOLVER__IMS_PER_BATCH=3)
    assert (cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS) == (24, (16, 22))


def test_a_warm_up_longer_than_the_training_is_said(data, tmp_path):
    prepared(data, tmp_path, SOLVER__WARMUP_ITERS=6)
    assert (
        "warm-up of 6 iterations (SOLVER.WARMUP_ITERS) is no shorter than the training of 6"
        in (tmp_path / "log.txt").read_text()
    )


def test_the_settled_config_and_the_schedule_are_written(data, tmp_path):
    save_config(prepared(data, tmp_path, SEED=-1), tmp_path)
    log = (tmp_path / "log.txt").read_text()
    assert "6 images in batches of 2 are 3 iterations per epoch; 6 iterations" in log
    assert "Random seed of this run" in log
    assert "Running with full config" in log
    saved = yacs_config(tmp_path / "config.yaml")
    assert saved.SEED >= 0
    assert saved.SOLVER.STEPS == (4,)


def test_the_console_gets_the_schedule_but_not_the_whole_config(data, tmp_path, capsys):
    prepared(data, tmp_path)
    console = capsys.readouterr().out
    assert "iterations per epoch" in console
    assert "Running with full config" not in console
    assert "Environment info" not in console


def test_two_runs_in_one_process_have_separate_logs(data, tmp_path, capsys):
    prepared(data, tmp_path / "a")
    prepared(data, tmp_path / "b")
    assert (tmp_path / "a" / "log.txt").read_text().count("Schedule:") == 1
    capsys.readouterr()
    logging.getLogger("scale_match").info("once")
    assert capsys.readouterr().out.count("once") == 1


def test_the_config_that_is_prepared_stays_as_it_is(data, tmp_path):
    cfg = yacs_config(YACS_FILE, yacs_opts(data, tmp_path))
    before = cfg.dump()
    prepare(cfg, training=True)
    assert cfg.dump() == before


def test_a_given_seed_stays_and_a_negative_one_is_drawn():
    assert shared_seed(5) == 5
    assert shared_seed(0) == 0
    drawn = {shared_seed(-1) for _ in range(3)}
    assert len(drawn) == 3
    assert min(drawn) >= 0


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("TEST.PRECISE_BN.ENABLED", "True"),
        ("TEST.AUG.ENABLED", "True"),
        ("MODEL.LOAD_PROPOSALS", "True"),
        ("DATALOADER.SAMPLER_TRAIN", "RepeatFactorTrainingSampler"),
    ],
)
def test_a_stock_key_that_would_do_nothing_is_refused(data, tmp_path, key, value):
    with pytest.raises(InputError, match=f"{key} must stay .*, received {value}"):
        prepared(data, tmp_path, **{key: value})


def test_an_unknown_optimizer_is_refused(data, tmp_path):
    with pytest.raises(InputError, match="OPTIMIZER must be sgd or adamw, received 'adam'"):
        prepared(data, tmp_path, SCALE_MATCH__SOLVER__OPTIMIZER="adam")


@pytest.mark.parametrize(
    ("absent", "given"), [("IMAGES", "ANNOTATIONS"), ("ANNOTATIONS", "IMAGES")]
)
def test_a_data_set_needs_file_and_folder(data, tmp_path, absent, given):
    with pytest.raises(InputError, match=f"TRAIN_{given} is set, but .*TRAIN_{absent} is not"):
        prepared(data, tmp_path, **{f"SCALE_MATCH.DATA.TRAIN_{absent}": '""'})


@pytest.mark.parametrize(("training", "word"), [(True, "train"), (False, "evaluate")])
def test_without_a_data_set_there_is_nothing_to_do(tmp_path, training, word):
    cfg = yacs_config(YACS_FILE, ["OUTPUT_DIR", str(tmp_path)])
    with pytest.raises(InputError, match=rf"nothing to {word} on: set SCALE_MATCH\.DATA\.T"):
        prepare(cfg, training=training)


def test_an_evaluation_needs_no_training_set(data, tmp_path):
    cfg = prepared(
        data,
        tmp_path,
        training=False,
        SCALE_MATCH__DATA__TRAIN_ANNOTATIONS='""',
        SCALE_MATCH__DATA__TRAIN_IMAGES='""',
    )
    assert cfg.DATASETS.TRAIN == ()


def test_a_data_set_that_nobody_registered_is_refused(tmp_path):
    cfg = yacs_config(YACS_FILE, ["OUTPUT_DIR", str(tmp_path), "DATASETS.TRAIN", "('mine',)"])
    with pytest.raises(InputError, match="data set 'mine' is not registered"):
        prepare(cfg, training=True)


def test_a_stock_data_set_whose_files_are_absent_is_said(tmp_path):
    opts = ["OUTPUT_DIR", str(tmp_path), "DATASETS.TRAIN", "('coco_2017_val',)"]
    with pytest.raises(InputError, match=r"data set 'coco_2017_val' cannot be read: .*val2017"):
        prepare(yacs_config(YACS_FILE, opts), training=True)


@pytest.mark.parametrize("training", [True, False])
def test_a_missing_image_is_found_before_the_training(tmp_path, training):
    annotations, images = make_data(tmp_path / "data")
    (images / "0003.jpg").unlink()
    with pytest.raises(InputError, match=r"0003\.jpg \(image id 3\) does not exist; 1 of 6"):
        prepared((annotations, images), tmp_path, training=training)


def test_a_missing_annotation_file_is_said(data, tmp_path):
    with pytest.raises(InputError, match=r"none\.json"):
        prepared((tmp_path / "none.json", data[1]), tmp_path)


def test_a_test_set_without_an_image_is_refused(data, tmp_path):
    empty = tmp_path / "empty.json"
    categories = [{"id": 1, "name": "class1"}]
    empty.write_text(json.dumps({"images": [], "annotations": [], "categories": categories}))
    with pytest.raises(InputError, match="no image at all"):
        prepared(data, tmp_path, SCALE_MATCH__DATA__TEST_ANNOTATIONS=empty)
