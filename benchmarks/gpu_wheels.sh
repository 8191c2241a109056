#!/usr/bin/env bash
# Fetches what a GPU machine without a network lacks, as wheels for its Python, and checks that nothing is missing.
#
#   benchmarks/gpu_wheels.sh [FOLDER]     # default: build/gpu-wheels, which git ignores
#
# The machine: x86-64 Linux, Python 3.12, and the packages of PRESENT. What the project needs beyond them is pinned here.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
folder=${1:-$root/build/gpu-wheels}
python=${PYTHON:-python3}
most_mb=60

PINS=(
  annotated-types==0.8.0
  anyio==4.16.0
  apache-tvm-ffi==0.1.15.post2
  diffusers==0.42.1
  httpcore2==2.16.2
  httpx2==2.16.2
  idna==3.20
  importlib-metadata==10.2.0
  jiter==0.19.0
  lazy-importer==0.1.0
  openai==3.57.0
  pydantic==2.14.4
  pydantic-core==2.50.5
  rich==15.0.0
  sniffio==1.3.1
  tenacity==9.2.1
  truststore==0.10.5
  typing-extensions==4.16.0
  typing-inspection==0.4.5
  xgrammar==0.2.8
  zipp==4.1.2
)
# what is there already, with the version where it is known; the version of the others is not checked
PRESENT=(
  accelerate==1.15.0 aiohttp certifi click filelock h11 huggingface-hub==1.33.0 jinja2 markdown-it-py markupsafe mdurl multidict
  numpy==2.5.2 packaging pillow psutil pygments pyyaml regex requests safetensors==0.8.0 scipy tokenizers==0.23.2
  torch==2.11.0 torchvision==0.26.0 tqdm transformers==5.17.0 triton==3.6.0 yarl
)

mkdir -p "$folder"
rm -f "$folder"/*.whl
"$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
  --python-version 3.12 --implementation cp --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 \
  --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 --dest "$folder" "${PINS[@]}"

"$python" "$root/benchmarks/gpu/wheels.py" "$folder" --project "$root/pyproject.toml" --most-mb "$most_mb" \
  --present "${PRESENT[@]}"
