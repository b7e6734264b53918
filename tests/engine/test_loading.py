"""Errors of loading processes: which of them say that a process ended."""

import pytest
import torch

from scale_match.core.errors import InputError
from scale_match.engine.loading import dead_workers_explained, is_dead_worker


@pytest.mark.parametrize(
    "message",
    [
        "DataLoader worker (pid 5) is killed by signal: Killed. ",
        "DataLoader worker (pid(s) 5, 6) exited unexpectedly",
    ],
)
def test_a_process_that_ended_is_explained(message):
    message_then = r"^DataLoader worker .* A process that loads images ended, often for lack of mem"
    with pytest.raises(InputError, match=message_then), dead_workers_explained():
        raise RuntimeError(message)


class Failing(torch.utils.data.Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        raise RuntimeError("the real cause")


def test_an_error_in_a_process_stays_what_it_is():
    loader = torch.utils.data.DataLoader(Failing(), num_workers=1)
    with pytest.raises(RuntimeError, match="the real cause") as caught, dead_workers_explained():
        next(iter(loader))
    assert "in DataLoader worker process 0" in str(caught.value)
    assert not isinstance(caught.value, InputError)
    assert not is_dead_worker(caught.value)


def test_other_errors_pass():
    with pytest.raises(RuntimeError, match=r"^out of memory$"), dead_workers_explained():
        raise RuntimeError("out of memory")
    assert not is_dead_worker(ValueError("DataLoader worker (pid 5) exited unexpectedly"))
