import json
import logging

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from engine.tiny import YACS_FILE, make_data, yacs_opts
from scale_match.core.errors import InputError
from scale_match.engine.session import prepare, shared_seed, yacs_config


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("data"))


def prepared(data, output, *, training=True, **changes):
    return prepare(yacs_config(YACS_FILE, yacs_opts(data, output, **changes)), training=training)


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
    cfg = yacs_config("", yacs_opts(data, tmp_path, SCALE_MATCH__SOLVER__EPOCHS=12))
    cfg.SOLVER.MAX_ITER = 40000  # detectron2's default: not asked for
    cfg.MODEL.DEVICE = "cpu"
    settled = prepare(cfg, training=True)
    # 6 images in batches of 2.
    assert (settled.SOLVER.MAX_ITER, settled.SOLVER.STEPS) == (36, (24, 33))
    assert cfg.SOLVER.MAX_ITER == 40000


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
    options = {"SCALE_MATCH__SOLVER__EPOCHS": 1, "SOLVER__MAX_ITER": 40000}
    cfg = prepared((annotations, images), tmp_path / "a", **options)
    assert cfg.SOLVER.MAX_ITER == 2
    options["DATALOADER__FILTER_EMPTY_ANNOTATIONS"] = False
    cfg = prepared((annotations, images), tmp_path / "b", **options)
    assert cfg.SOLVER.MAX_ITER == 3


def test_batch_and_rate_follow_the_number_of_processes_where_a_reference_is_given(data, tmp_path):
    cfg = prepared(
        data,
        tmp_path,
        SOLVER__REFERENCE_WORLD_SIZE=2,
        SOLVER__IMS_PER_BATCH=4,
        SCALE_MATCH__SOLVER__EPOCHS=3,
        SOLVER__MAX_ITER=40000,
    )
    # One process instead of two: half the batch, so an epoch has twice the iterations.
    assert cfg.SOLVER.IMS_PER_BATCH == 2
    assert pytest.approx(0.0005) == cfg.SOLVER.BASE_LR
    assert cfg.SOLVER.MAX_ITER == 9


def test_the_settled_config_and_the_schedule_are_written(data, tmp_path):
    prepared(data, tmp_path, SEED=-1)
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
