#!/bin/sh
# Checks and measures the WebGPU backend on a machine with an NVIDIA card and little else; beside it PyTorch, where it is installed.
#   bash gpu-run.sh RESULTS [PART...]       parts: environment checks webgpu torch (all of them); bispik-gpu.tar.xz is unpacked if it lies beside this file
# Each part has a time limit, its own JSON file in RESULTS (beside README.md and log.txt), and does not need the others to succeed. Variables:
#   CHECKS_S=140 WEBGPU_S=220 TORCH_S=150   limits in seconds; all parts together end within ten minutes
#   CHECKS_FLAGS WEBGPU_FLAGS TORCH_FLAGS   further flags of bench/gpu-checks, bench/gpu.bench and bench/peers/distill_gpu.py
#   PYTHON=python3                          an interpreter with PyTorch
#   VK_DRIVER_FILES                         a driver's description, where the usual places have none
set -u
[ $# -ge 1 ] || { echo "usage: bash gpu-run.sh RESULTS [environment] [checks] [webgpu] [torch]" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1" && results=$(cd "$1" && pwd)
shift
parts=${*:-environment checks webgpu torch}

bundle=$here
if [ ! -x "$bundle/node" ]; then
  bundle=${BISPIK_UNPACKED:-${TMPDIR:-/tmp}/bispik-gpu-unpacked}/bispik-gpu
  if [ ! -x "$bundle/node" ]; then
    mkdir -p "${bundle%/*}"
    tar -xJf "$here/bispik-gpu.tar.xz" -C "${bundle%/*}" 2>/dev/null ||
      "${PYTHON:-python3}" -c 'import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2])' "$here/bispik-gpu.tar.xz" "${bundle%/*}" ||
      { echo "$here/bispik-gpu.tar.xz cannot be unpacked: neither tar with xz nor Python does it" >&2; exit 1; }
  fi
fi

# Libraries of the bundle stand in for those that the system lacks; its own are never replaced.
known=" $( (ldconfig -p || /sbin/ldconfig -p) 2>/dev/null | awk '{print $1}' | tr '\n' ' ') "
active=$bundle/active-lib
mkdir -p "$active"
for file in "$bundle"/lib/*.so*; do
  name=$(basename "$file")
  case $known in *" $name "*) ;; *) [ -e "$file" ] && ln -sf "$file" "$active/$name" ;; esac
done
nvidia_lib=
for folder in /usr/local/nvidia/lib64 /usr/local/nvidia/lib /usr/lib/x86_64-linux-gnu /usr/lib64; do
  [ -e "$folder/libGLX_nvidia.so.0" ] && { nvidia_lib=$folder; break; }
done
torch_libraries=${LD_LIBRARY_PATH:-}
LD_LIBRARY_PATH=$active
case $nvidia_lib in /usr/local/*) LD_LIBRARY_PATH=$LD_LIBRARY_PATH:$nvidia_lib ;; esac
LD_LIBRARY_PATH=$LD_LIBRARY_PATH${torch_libraries:+:$torch_libraries}
export LD_LIBRARY_PATH

# The loader finds drivers by files that describe them; one is written where the driver came without.
if [ -z "${VK_DRIVER_FILES:-}" ]; then
  for file in /etc/vulkan/icd.d/nvidia_icd*.json /usr/share/vulkan/icd.d/nvidia_icd*.json /usr/local/nvidia/share/vulkan/icd.d/nvidia_icd*.json; do
    [ -e "$file" ] && { VK_DRIVER_FILES=$file; break; }
  done
  if [ -z "${VK_DRIVER_FILES:-}" ] && [ -n "$nvidia_lib" ]; then
    VK_DRIVER_FILES=$bundle/nvidia_icd.json
    echo "{\"file_format_version\": \"1.0.0\", \"ICD\": {\"library_path\": \"$nvidia_lib/libGLX_nvidia.so.0\", \"api_version\": \"1.3.0\"}}" > "$VK_DRIVER_FILES"
  fi
  [ -n "${VK_DRIVER_FILES:-}" ] && export VK_DRIVER_FILES
fi
XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR:-$(mktemp -d)}
BISPIK_COMMIT=$(cat "$bundle/commit")
export XDG_RUNTIME_DIR BISPIK_COMMIT

node=$bundle/node
bench=$bundle/app/dist/bench
# run PART SECONDS OUTPUT COMMAND...: standard error to RESULTS/log.txt; goes on after a failure, and says so.
run() {
  part=$1 limit=$2 output=$3
  shift 3
  began=$(date +%s)
  echo "== $part" >> "$results/log.txt"
  timeout -k 5 "$limit" "$@" > "$output" 2>> "$results/log.txt"
  code=$?
  echo "$part: exit $code after $(($(date +%s) - began)) s"
  [ $code -eq 0 ] || { failed=1; tail -n 8 "$results/log.txt"; }
}

failed=0
for part in $parts; do
  case $part in
    environment)
      nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm,clocks.max.mem --format=csv,noheader > "$results/nvidia-smi.txt" 2> /dev/null || echo "no nvidia-smi" > "$results/nvidia-smi.txt"
      cat "$results/nvidia-smi.txt"
      run environment 60 "$results/environment.json" "$node" "$bench/support/describe-gpu.js"
      # What the loader tried, where it found nothing.
      [ -s "$results/environment.json" ] || VK_LOADER_DEBUG=all timeout 60 "$node" "$bench/support/describe-gpu.js" >> "$results/log.txt" 2>&1 ;;
    checks) # shellcheck disable=SC2086
      run checks "$((${CHECKS_S:-140} + 10))" "$results/checks.txt" "$node" "$bench/gpu-checks.js" --out "$results/checks.json" --limit-s "${CHECKS_S:-140}" ${CHECKS_FLAGS:-}
      head -n 20 "$results/checks.txt" && rm "$results/checks.txt" ;;
    webgpu) # shellcheck disable=SC2086
      run webgpu "$((${WEBGPU_S:-220} + 10))" /dev/null "$node" "$bench/gpu.bench.js" --out "$results/webgpu.json" --limit-s "${WEBGPU_S:-220}" ${WEBGPU_FLAGS:-} ;;
    torch) # shellcheck disable=SC2086
      run torch "${TORCH_S:-150}" /dev/null env LD_LIBRARY_PATH="$torch_libraries" "${PYTHON:-python3}" "$bundle/peers/distill_gpu.py" \
        --out "$results/torch.json" --limit-s "${TORCH_S:-150}" ${TORCH_FLAGS:-} ;;
    *) echo "no part $part; known: environment checks webgpu torch" >&2; failed=1 ;;
  esac
done
"$node" "$bench/gpu-readme.js" "$results" > "$results/README.md" && cat "$results/README.md"
exit $failed
