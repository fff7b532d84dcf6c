#!/usr/bin/env bash
# Gradescope runs this once, as root, while it builds the image. It installs an interpreter, the engine, and packages in
# the same versions as on the teacher's machine.
set -euo pipefail
root="${AUTOGRADER_ROOT:-/autograder}"
python=""
for candidate in python3.13 python3.12 python3.11 python3; do
    if command -v "$candidate" >/dev/null && "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python="$candidate"
        break
    fi
done
if [ -z "$python" ]; then
    apt-get update -qq
    apt-get install -y -qq python3.11 python3.11-venv || apt-get install -y -qq python3 python3-venv
    python="$(command -v python3.11 || command -v python3)"
fi
if ! command -v bwrap >/dev/null; then
    apt-get install -y -qq bubblewrap || true   # for rung A, if the container allows it; else rung B
fi
"$python" -m venv "$root/venv"
"$root/venv/bin/pip" install --quiet --no-cache-dir -r "$root/source/requirements.txt"
"$root/venv/bin/pip" install --quiet --no-cache-dir --no-deps "$root/source/engine"
# Only root can read the solution, the hidden tests and the seed; a submission runs as nobody, behind the wall.
chmod -R go-rwx "$root/source"
"$root/venv/bin/autograder" doctor || true
OMP_NUM_THREADS=1 "$root/venv/bin/python" -P -m autograder.platforms.gradescope "$root" --prepare || true   # examine the solution once
