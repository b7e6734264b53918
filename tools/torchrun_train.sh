#!/usr/bin/env bash
# Trains or evaluates in processes that torchrun starts; see usage below.
set -euo pipefail

usage() {
  cat <<'END'
usage: bash tools/torchrun_train.sh [TORCHRUN OPTIONS --] --config-file CONFIG [OPTIONS] [OVERRIDES]

Starts tools/train_net.py (for a .yaml) or tools/lazyconfig_train_net.py (for a .py) by torchrun, one
process per GPU. What comes before "--" goes to torchrun, all else to the tool. Without "--" torchrun
takes all GPUs of this machine (--standalone --nproc-per-node gpu).

  all GPUs of this machine:
    bash tools/torchrun_train.sh --config-file CONFIG.yaml --resume
  two processes on a CPU:
    bash tools/torchrun_train.sh --standalone --nproc-per-node 2 -- --config-file CONFIG.yaml \
      MODEL.DEVICE cpu
  two machines of 4 GPUs, the same command on each with its rank, the first one's address:
    bash tools/torchrun_train.sh --nnodes 2 --node-rank 0 --nproc-per-node 4 \
      --master-addr 10.0.0.1 --master-port 29500 -- --config-file CONFIG.yaml

--num-gpus, --num-machines and --dist-url are not needed, and refused where they contradict torchrun.
--help shows this text; "bash tools/torchrun_train.sh -- --help" the options of torchrun.
END
}

say() { printf '%s\n' "$*" >&2; }
fail() { say "error: $1"; exit "${2:-1}"; }

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
case ${1:-} in
  --help | -h) usage; exit 0 ;;
esac

starter=(--standalone --nproc-per-node gpu)
before=()
for word in "$@"; do
  if [ "$word" = -- ]; then
    shift "$((${#before[@]} + 1))"
    starter=(${before[@]+"${before[@]}"})
    break
  fi
  before+=("$word")
done

config=
previous=
for word in "$@"; do
  case $word in
    --config-file=*) config=${word#*=} ;;
    *) [ "$previous" != --config-file ] || config=$word ;;
  esac
  previous=$word
done
case $config in
  *.yaml | *.yml) tool=train_net.py ;;
  *.py) tool=lazyconfig_train_net.py ;;
  '')
    if [ "$*" = --help ]; then
      starter=(--help) tool=
    else
      fail "no config is named: use --config-file, after the options of torchrun and --" 2
    fi ;;
  *) fail "a config file ends in .yaml or .py, received $config" 2 ;;
esac

python=$(bash "$root/tools/setup_env.sh")
code=0
"$python" -m torch.distributed.run "${starter[@]}" ${tool:+"$root/tools/$tool" "$@"} || code=$?
if [ "$code" -ne 0 ]; then
  say "error: a process of the run failed (exit code $code): the first line above that begins with" \
    "\"error:\" or the report of torchrun says which and why; --resume goes on from the last checkpoint"
fi
exit "$code"
