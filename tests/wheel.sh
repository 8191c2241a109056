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
# a bundle made here, by this checkout, to be verified there
"$python" -m isr score examples/shapes --judge shapes-oracle --out "$away/here.isr" --quiet --no-report > /dev/null
"$python" -m isr bundle "$away/here.isr" --images --out "$away/here.zip" > /dev/null
rm -rf "$away/here.isr"
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
test -s shapes.isr/runs/shapes-oracle-*/report.html
venv/bin/isr verify here.zip --rejudge 20 --judge shapes-oracle
echo "the wheel installs isr and sifm_ref only, scores examples/shapes from elsewhere, and verifies a bundle"
