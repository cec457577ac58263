#!/usr/bin/env bash
# Makes .venv with everything Tocsin needs to run, test, evaluate and bench. A second call with nothing changed
# returns at once: the stamp carries the hash of every file that decides what is installed.
set -euo pipefail
cd "$(dirname "$0")"

TORCH=2.13.0
UV_VERSION=0.13.9
venv=.venv
extras=cpu
[ "${TOCSIN_GPU:-0}" = 1 ] && extras=gpu
stamp=$venv/.stamp-$extras-$(cat constraints.txt pyproject.toml bootstrap.sh | sha256sum | cut -c1-16)
[ -e "$stamp" ] && exit 0

say() { printf '[bootstrap] %s\n' "$*"; }

python=${PYTHON:-}
for candidate in python3.11 python3.12 python3.13 python3; do
    [ -n "$python" ] && break
    "$candidate" -c 'import sys, venv, ensurepip; raise SystemExit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
        2>/dev/null && python=$candidate
done
[ -n "$python" ] || {
    echo "Tocsin needs Python 3.11, 3.12 or 3.13 with venv (Debian: apt-get install python3-venv)." >&2
    exit 2
}

started=$(date +%s)
[ -x $venv/bin/python ] || { say "creating $venv with $("$python" --version)"; "$python" -m venv $venv; }
pip() { $venv/bin/python -m pip --disable-pip-version-check -q "$@"; }
pip install "uv==$UV_VERSION" 2>/dev/null || true
uv=$venv/bin/uv
install() { if [ -x $uv ]; then $uv pip install -q -p $venv "$@"; else pip install "$@"; fi; }

# pip knows its find-links folders from its configuration; uv reads only its own variable.
links=$($venv/bin/python - <<'PYTHON'
import subprocess, sys
listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True).stdout
values = [line.split("=", 1)[1].strip().strip("'") for line in listed.splitlines()
          if line.split("=", 1)[0].endswith("find-links")]
print(",".join(dict.fromkeys(folder for value in values for folder in value.split())))
PYTHON
)
[ -n "$links" ] && export UV_FIND_LINKS="${UV_FIND_LINKS:-$links}"

has_torch() {
    $venv/bin/python -c "import importlib.metadata as m; raise SystemExit(m.version('torch').split('+')[0] != '$TORCH')" \
        2>/dev/null
}
# torch first and without its dependencies: the plain registry build on Linux brings 4.6 GB of CUDA.
if ! has_torch; then
    backend=${TOCSIN_TORCH_BACKEND:-cpu}
    [ "$extras" = gpu ] && backend=${TOCSIN_TORCH_BACKEND:-auto}
    if [ "$extras" = cpu ] && install --no-index --no-deps ${links:+--find-links "${links//,/ --find-links }"} "torch==$TORCH+cpu" 2>/dev/null; then
        say "torch $TORCH: the CPU file from the find-links folder"
    elif [ -x $uv ] && $uv pip install -q -p $venv --no-deps --torch-backend="$backend" "torch==$TORCH" 2>/dev/null; then
        say "torch $TORCH: the $backend build from PyTorch's own index"
    else
        say "torch $TORCH: the registry build (several GB on Linux x86-64)"
        pip install "torch==$TORCH"
    fi
fi

say "installing the libraries of constraints.txt"
if [ "$extras" = gpu ]; then
    grep -v '^faiss-cpu==' constraints.txt >$venv/constraints-gpu.txt
    install -c $venv/constraints-gpu.txt -e ".[gpu,postgres,dev]"
else
    install -r constraints.txt
    install --no-deps -e .
fi
rm -f $venv/.stamp-*
touch "$stamp"
say "done in $(($(date +%s) - started)) s"
