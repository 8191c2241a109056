#!/usr/bin/env bash
# All figures of a GPU in one run: benchmarks/gpu_smoke.py, with the wheels of benchmarks/gpu_wheels.sh where it needs them.
#
#   benchmarks/gpu_smoke.sh OUT [--tiny] [--parts machine judge editor world]
#
# Nothing is fetched here, and nothing is installed for good: the wheels go to a folder that is gone afterwards.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-python3}
export PYTHONPATH="$root" HF_HUB_OFFLINE=1

if ! "$python" -c 'import diffusers, jinja2, openai, pydantic, rich, tenacity, transformers' 2> /dev/null; then
  wheels=("$root"/build/gpu-wheels/*.whl)
  if [ ! -e "${wheels[0]}" ]; then
    echo "gpu_smoke.sh: expected the project's packages or wheels in build/gpu-wheels; found neither;" \
      "run benchmarks/gpu_wheels.sh where there is a network, and bring the folder along" >&2
    exit 2
  fi
  site=$(mktemp -d)
  trap 'rm -rf "$site"' EXIT
  "$python" -m pip install -q --disable-pip-version-check --no-index --no-deps --no-compile --no-cache-dir --upgrade \
    --target "$site" "${wheels[@]}"
  export PYTHONPATH="$root:$site"
fi

"$python" "$root/benchmarks/gpu_smoke.py" "$@"
