#!/usr/bin/env bash
# Sets everything up and runs every check of the project; see usage below.
set -euo pipefail

usage() {
  cat <<'END'
usage: bash tools/run_tests.sh [--isolated] [--only CHECK] [PYTEST-ARGUMENT ...]

Sets up the environment (tools/setup_env.sh) and runs, stopping at the first failure:
  format    ruff format --check
  lint      ruff check
  types     mypy
  imports   lint-imports: the layers of docs/design.md
  tests     pytest, with the further arguments

  --isolated    use this checkout's own .venv
  --only CHECK  run this one check, such as types; may be given several times
  --help        show this text
END
}

say() { printf '%s\n' "$*" >&2; }
fail() { say "error: $1"; exit "${2:-1}"; }

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cd "$root"
isolated=
chosen=
while [ $# -gt 0 ]; do
  case $1 in
    --isolated) isolated=--isolated ;;
    --only)
      case ${2:-} in
        format | lint | types | imports | tests) chosen="$chosen $2 " ;;
        *) fail "--only needs one of format, lint, types, imports, tests" 2 ;;
      esac
      shift ;;
    --help | -h) usage; exit 0 ;;
    *) break ;;
  esac
  shift
done

SECONDS=0
say "== environment"
python=$(bash tools/setup_env.sh ${isolated:+"$isolated"})
scripts=$("$python" -c 'import sysconfig; print(sysconfig.get_path("scripts"))')

is_chosen() { [ -z "$chosen" ] || [ "${chosen/ $1 /}" != "$chosen" ]; }

# check NAME ADVICE COMMAND...: runs a check if it is chosen; stops with the advice if it fails.
check() {
  local name=$1 advice=$2 start=$SECONDS
  shift 2
  is_chosen "$name" || return 0
  say "== $name"
  "$@" || fail "$name failed: $advice"
  say "== $name passed in $((SECONDS - start)) s"
}

check format "run '$python -m ruff format' and look at the result" "$python" -m ruff format --check
check lint "mend what is listed above; '$python -m ruff check --fix' does the simple ones" \
  "$python" -m ruff check
check types "mend what is listed above" "$python" -m mypy
check imports "move the code to where docs/design.md allows the import" "$scripts/lint-imports"
if is_chosen tests; then
  # Threads that wait soon sleep: spinning slows the suite down on a machine that does other things.
  export GOMP_SPINCOUNT=${GOMP_SPINCOUNT:-10000}
  # The output ends with pytest's closing line, so the advice comes first.
  say "== tests (what fails is named at the end; rerun it with: bash tools/run_tests.sh --only tests FILE)"
  exec "$python" -m pytest "$@"
fi
