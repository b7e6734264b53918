"""What every tool does with bad input, and with a reader that goes away."""

import subprocess
import sys

from scale_match.cli import run_tool
from scale_match.core.errors import InputError


def test_success_is_zero():
    seen = []
    assert run_tool(seen.append, ["--some", "option"]) == 0
    assert seen == [["--some", "option"]]


def test_bad_input_is_one_sentence_and_two(capsys):
    def main(_):
        raise InputError("gt.json is not there")

    assert run_tool(main, []) == 2
    assert capsys.readouterr().err == "error: gt.json is not there\n"


TOOL = """
import sys
from scale_match.cli import run_tool

def main(_):
    for line in range(100_000):
        print(line)

sys.exit(run_tool(main))
"""


def test_a_reader_that_goes_away_is_no_error():
    process = subprocess.Popen(
        [sys.executable, "-c", TOOL], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "0\n"
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() == 0
