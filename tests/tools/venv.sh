#!/bin/sh
# A private Python environment: `venv.sh FOLDER PACKAGE...`; does nothing when it is there and holds these.
set -eu
folder=$1
shift
[ "$(cat "$folder/.packages" 2>/dev/null)" != "$*" ] || exit 0
echo "venv: $* into $folder"
python3 -m venv "$folder"
"$folder/bin/python" -m pip install -q "$@"
echo "$*" >"$folder/.packages"
