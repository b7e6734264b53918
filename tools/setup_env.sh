#!/usr/bin/env bash
# Sets up the Python environment and prints the interpreter's path; see usage below.
set -euo pipefail

usage() {
  cat <<'END'
usage: bash tools/setup_env.sh [--isolated] [--python PYTHON]

Sets up a Python that runs this project. The only line on standard output is the absolute path of
its interpreter; messages go to standard error. Which Python, in this order:
  1. this checkout's .venv, where there is one;
  2. the active Python (python3 on the PATH), if torch, torchvision and detectron2 are found in it;
     only what is missing is added, nothing that is installed is changed;
  3. a new .venv in this checkout, with everything pinned in tools/constraints.txt.

  --isolated       never 2: always this checkout's own .venv
  --python PYTHON  take PYTHON (3.11 or 3.12) in place of the active one, in 2 and to make the .venv;
                   the variable SCALE_MATCH_PYTHON does the same
  --help           show this text

A second run takes less than three seconds. An interrupted run goes on where it stopped.
END
}

say() { printf '%s\n' "$*" >&2; }
fail() { say "error: $1"; exit "${2:-1}"; }

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
venv=$root/.venv
isolated=false
requested=${SCALE_MATCH_PYTHON:-}
while [ $# -gt 0 ]; do
  case $1 in
    --isolated) isolated=true ;;
    --python)
      [ $# -ge 2 ] || fail "--python needs the path or name of an interpreter" 2
      requested=$2
      shift ;;
    --help | -h) usage; exit 0 ;;
    *) usage >&2; fail "unknown argument: $1" 2 ;;
  esac
  shift
done

# From here on nothing but the last line reaches standard output.
exec 3>&1 1>&2

suitable() {
  "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null
}

interpreter_path() { "$1" -c 'import sys; print(sys.executable)'; }

version() { "$1" -c 'import platform; print(platform.python_version())'; }

has_detector() {
  "$1" -P -c '
import sys
from importlib.util import find_spec
sys.exit(not all(find_spec(name) for name in ("torch", "torchvision", "detectron2")))' 2>/dev/null
}

# The Python that makes a new .venv: the one asked for, else the first suitable one on the PATH.
find_base() {
  local candidate
  if [ -n "$requested" ]; then
    set -- "$requested"
  else
    set -- python3 python python3.12 python3.11
  fi
  for candidate in "$@"; do
    if suitable "$candidate"; then
      interpreter_path "$candidate"
      return
    fi
  done
  return 1
}

make_venv() {
  local base
  base=$(find_base) ||
    fail "no Python 3.11 or 3.12 found${requested:+ as $requested}: install one, or name it with --python"
  "$base" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "$base cannot make environments: install its venv package (python3-venv on Debian and Ubuntu)"
  say "creating .venv with Python $(version "$base") ($base)"
  "$base" -m venv --clear "$venv" || fail "creating $venv failed, see above"
}

# 0: usable; 1: no pip in it; anything else: broken or made only in part.
venv_state() {
  "$venv/bin/python" -c '
import sys
from importlib.metadata import PackageNotFoundError, distribution
try:
    sys.exit(0 if distribution("pip").read_text("RECORD") else 2)
except PackageNotFoundError:
    sys.exit(1)' 2>/dev/null
}

prepare_venv() {
  local state=0
  if [ -e "$venv" ]; then
    venv_state || state=$?
    case $state in
      0) ;;
      1) "$venv/bin/python" -m ensurepip || fail "installing pip into .venv failed, see above" ;;
      *) say ".venv does not work (its interpreter is missing, or its set-up was interrupted): making it anew"
         make_venv ;;
    esac
  else
    make_venv
  fi
  suitable "$venv/bin/python" ||
    fail ".venv has Python $(version "$venv/bin/python"), but this project needs 3.11 or 3.12: remove $venv and run again"
  if [ -n "$requested" ] && [ "$(version "$requested" 2>/dev/null)" != "$(version "$venv/bin/python")" ]; then
    fail ".venv has Python $(version "$venv/bin/python"), not $requested: remove $venv and run again"
  fi
}

active=
if [ "$isolated" = false ] && [ ! -e "$venv" ]; then
  candidate=${requested:-$(command -v python3 || command -v python || true)}
  if suitable "$candidate" && has_detector "$candidate"; then
    active=$(interpreter_path "$candidate")
  fi
fi

if [ -n "$active" ]; then
  python=$active
  say "using the active Python, $python, which has torch, torchvision and detectron2"
  "$python" "$root/tools/setup_env.py"
else
  prepare_venv
  python=$venv/bin/python
  # What a PYTHONPATH adds is not part of this environment.
  PYTHONPATH='' "$python" "$root/tools/setup_env.py" --own
fi

"$python" -P -c '
import sys, pathlib, scale_match
sys.exit(pathlib.Path(scale_match.__file__).resolve().parents[2] != pathlib.Path(sys.argv[1]))' "$root" ||
  fail "PYTHONPATH puts another scale_match before this checkout's: unset it and run again"

printf '%s\n' "$python" >&3
