#!/bin/sh
# Make a virtual environment and install edgeai into it:   sh .ci/venv.sh PYTHON FOLDER demo|all
#
# demo: the base and the three engines; neither PyTorch nor TensorFlow.
# all:  everything, for the tests. PyTorch goes first and alone, so that no other package's range pulls a newer build.
# On Python 3.11 the versions of constraints.txt are used; other Pythons take what the lower bounds allow.
set -eu
python=$1 folder=$2 kind=$3

say() { echo "· $*" >&2; }
fail() { echo "error: $*" >&2; exit 1; }

command -v "$python" >/dev/null 2>&1 || fail "no '$python' here. Name one: make PYTHON=/path/to/python3.11"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  fail "edgeai needs Python 3.11 or newer; '$python' is $("$python" -V 2>&1). Name another: make PYTHON=python3.12"

if ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
  # Debian and Ubuntu keep these two modules in a package of their own.
  package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    say "installing $package"
    { apt-get update -qq && apt-get install -y -qq "$package"; } >&2 || fail "could not install $package"
  else
    fail "this Python has no venv module. Install it first: sudo apt-get install $package"
  fi
fi

# An environment is made anew when what decides on its content changed: Python, the versions, this file, and what pip
# reads of pyproject.toml. What ruff or pytest reads there does not count: nobody should need a network for that.
wanted="$kind $("$python" -c '
import hashlib, sys, tomllib
from pathlib import Path

read = [Path(name).read_text(encoding="utf-8") for name in ("constraints.txt", ".ci/venv.sh", "pyproject.toml")]
everything = tomllib.loads(read.pop())
folders = everything["tool"]["hatch"]["build"]["dev-mode-dirs"]
read.append(repr([everything["build-system"], everything["project"], folders, sys.version_info[:2]]))
print(hashlib.sha256("\n".join(read).encode()).hexdigest())')"
if [ "$(cat "$folder/.done" 2>/dev/null)" = "$wanted" ]; then
  touch "$folder/.done"
  exit
fi

[ ! -e "$folder" ] || [ -e "$folder/pyvenv.cfg" ] ||
  fail "'$folder' is there and is no virtual environment. Remove it or name another"
rm -rf "$folder"
say "making $folder ($kind) with $("$python" -V)"
"$python" -m venv "$folder"
pip="$folder/bin/python -m pip --disable-pip-version-check -qq"
constraints=
if "$folder/bin/python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))'; then
  constraints="-c constraints.txt"
fi

case $kind in
  demo)
    say "installing edgeai and its engines"
    $pip install $constraints -e '.[engines]' ||
      fail "pip could not install this; its reasons are above. Can it reach a package index from here?"
    ;;
  all)
    say "installing PyTorch"
    $pip install $constraints torch==2.13.0 2>/dev/null || $pip install 'torch>=2.7' ||
      say "no PyTorch for this platform: its tests will be skipped"
    say "installing everything else (some minutes)"
    $pip install $constraints -e '.[all]' || {
      say "not everything can be installed here; going on without TensorFlow: its tests will be skipped"
      $pip install -e '.[engines,torch,dev]' || $pip install -e '.[engines,dev]'
    }
    for extra in emulators loadgen vela coreml; do
      say "installing what the extra $extra names"
      $pip install $constraints -e ".[$extra]" || say "not for this platform: its tests will be skipped"
    done
    ;;
  *) fail "unknown kind '$kind'" ;;
esac
echo "$wanted" >"$folder/.done"
