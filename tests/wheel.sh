#!/usr/bin/env bash
# Builds the wheel, installs it into an empty environment elsewhere, and uses it from there.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$(cd "$(dirname "${PYTHON:-.venv/bin/python}")" && pwd)/python
away=$(mktemp -d)
trap 'rm -rf "$away"' EXIT
"$python" -m build -q --wheel --outdir "$away" .
"$python" -m venv "$away/venv"
"$away/venv/bin/python" -m pip install -q --disable-pip-version-check "$away"/isr_eval-*.whl
cp -r examples/shapes "$away/shapes"
cd "$away"
venv/bin/python - <<'PY'
from importlib.metadata import files
top = {f.parts[0] for f in files("isr-eval") if ".dist-info" not in f.parts[0] and f.parts[0] != ".."}
assert top == {"isr", "sifm_ref"}, f"expected only isr and sifm_ref in site-packages; found {sorted(top)}"
PY
venv/bin/isr --help > /dev/null
venv/bin/isr judges > /dev/null
venv/bin/isr score shapes --judge shapes-oracle --json --quiet > result.json
venv/bin/python -c "
import json
e = json.load(open('result.json'))['treatments'][0]['estimates']['isr']
assert 0 < e['low'] < e['value'] < e['high'] < 1, e"
echo "the wheel installs isr and sifm_ref only, and scores examples/shapes from elsewhere"
