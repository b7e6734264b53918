import json

import pytest

from scale_match.core.errors import InputError
from scale_match.engine.transfer_stages import RECORD_NAME, Stage, settings_hash


class Work:
    """Writes a file, and remembers how it was called."""

    def __init__(self, folder, fails=False):
        self.calls = []
        self._folder, self._fails = folder, fails

    def __call__(self, resume):
        self.calls.append(resume)
        (self._folder / "output.txt").write_text("done")
        if self._fails:
            raise KeyboardInterrupt
        return {"steps": 3}


def _stage(folder, **settings):
    return Stage("Test", folder, settings, ["output.txt"])


def test_a_stage_runs_once(tmp_path):
    work = Work(tmp_path / "s")
    first = _stage(tmp_path / "s", seed=1).run(work)
    second = _stage(tmp_path / "s", seed=1).run(work)
    assert work.calls == [False]
    assert (first.skipped, second.skipped) == (False, True)
    assert first.result == second.result == {"steps": 3}
    assert second.seconds == first.seconds
    assert second.settings_hash == first.settings_hash == settings_hash({"seed": 1})


def test_other_settings_begin_anew_in_an_empty_folder(tmp_path):
    work = Work(tmp_path / "s")
    _stage(tmp_path / "s", seed=1).run(work)
    (tmp_path / "s" / "left_over.txt").write_text("")
    outcome = _stage(tmp_path / "s", seed=2).run(work)
    assert work.calls == [False, False]
    assert not outcome.skipped
    assert sorted(p.name for p in (tmp_path / "s").iterdir()) == ["output.txt", RECORD_NAME]


def test_an_interrupted_stage_is_told_to_go_on(tmp_path):
    broken, work = Work(tmp_path / "s", fails=True), Work(tmp_path / "s")
    with pytest.raises(KeyboardInterrupt):
        _stage(tmp_path / "s", seed=1).run(broken)
    outcome = _stage(tmp_path / "s", seed=1).run(work)
    assert work.calls == [True]
    assert outcome.resumed
    assert not outcome.skipped


def test_an_interrupted_stage_with_other_settings_begins_anew(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        _stage(tmp_path / "s", seed=1).run(Work(tmp_path / "s", fails=True))
    work = Work(tmp_path / "s")
    assert not _stage(tmp_path / "s", seed=2).run(work).resumed
    assert work.calls == [False]


def test_a_stage_whose_output_is_gone_runs_again(tmp_path):
    work = Work(tmp_path / "s")
    _stage(tmp_path / "s", seed=1).run(work)
    (tmp_path / "s" / "output.txt").unlink()
    outcome = _stage(tmp_path / "s", seed=1).run(work)
    assert work.calls == [False, False]
    assert not outcome.skipped


def test_the_record_holds_settings_and_result(tmp_path):
    _stage(tmp_path / "s", seed=1).run(Work(tmp_path / "s"))
    record = json.loads((tmp_path / "s" / RECORD_NAME).read_text())
    assert record["settings"] == {"seed": 1}
    assert record["result"] == {"steps": 3}
    assert record["done"] is True
    assert record["seconds"] >= 0.0


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match=r"is not empty and no stage.*choose another --output"):
        _stage(tmp_path, seed=1).run(Work(tmp_path))
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_record_that_is_no_record_is_that_of_other_settings(tmp_path):
    (tmp_path / RECORD_NAME).write_text("[1]")
    work = Work(tmp_path)
    _stage(tmp_path, seed=1).run(work)
    assert work.calls == [False]


def test_the_hash_does_not_depend_on_the_order_of_keys():
    assert settings_hash({"a": 1, "b": [2]}) == settings_hash({"b": [2], "a": 1})
    assert settings_hash({"a": 1}) != settings_hash({"a": 2})
