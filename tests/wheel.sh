#!/usr/bin/env bash
# Builds both wheels, isr's and that of the plug-in beside it, installs them into an empty environment elsewhere, and
# uses them from there.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$(cd "$(dirname "${PYTHON:-.venv/bin/python}")" && pwd)/python
away=$(mktemp -d)
trap 'rm -rf "$away"' EXIT
"$python" -m build -q --wheel --outdir "$away" .
# from a copy: a build folder beside the sources would be taken for sources
cp -r examples/isr_shapes "$away/isr_shapes-source"
rm -rf "$away/isr_shapes-source/build" "$away"/isr_shapes-source/*.egg-info
"$python" -m build -q --wheel --outdir "$away" "$away/isr_shapes-source"
"$python" -m venv "$away/venv"
"$away/venv/bin/python" -m pip install -q --disable-pip-version-check "$away"/isr_eval-*.whl
"$away/venv/bin/isr" judges > "$away/judges.txt"  # a pipe would break at the first line that is found
if grep -q shapes-oracle "$away/judges.txt"; then
  echo "the core alone: expected no shapes-oracle; found one"
  exit 1
fi
"$away/venv/bin/python" -m pip install -q --disable-pip-version-check "$away"/isr_shapes-*.whl
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
top = {f.parts[0] for f in files("isr-shapes") if ".dist-info" not in f.parts[0]}
assert top == {"isr_shapes"}, f"expected only isr_shapes of the plug-in; found {sorted(top)}"
PY
venv/bin/isr --help > /dev/null
venv/bin/isr judges > judges.txt
grep -q shapes-oracle judges.txt
venv/bin/python -m isr.contract shapes-oracle
venv/bin/isr score shapes --judge shapes-oracle --json --quiet > result.json
venv/bin/python -c "
import json
e = json.load(open('result.json'))['treatments'][0]['estimates']['isr']
assert 0 < e['low'] < e['value'] < e['high'] < 1, e"
test -s shapes.isr/runs/shapes-oracle-*/report.html
venv/bin/isr tutorial try
PATH="$away/venv/bin:$PATH" sh try/commands.sh > tutorial.txt
grep -q "images with 6 edits each" tutorial.txt
venv/bin/isr verify here.zip --rejudge 20 --judge shapes-oracle
echo "the wheels install isr, sifm_ref and isr_shapes only, score examples/shapes from elsewhere, and verify a bundle"
