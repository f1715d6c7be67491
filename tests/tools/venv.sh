#!/bin/sh
# A private Python environment: `venv.sh FOLDER PACKAGE...` or `venv.sh FOLDER -r FILE`; does nothing when it is
# there and holds these.
#
# $VENV_SIZE, when set, is what the first run says that it will install. Packages come by name through pip: its
# settings apply (PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS, ...).
set -eu
folder=$1
shift
wanted=$([ "$1" = -r ] && grep -v '^#' "$2" || echo "$*")
[ "$(cat "$folder/.packages" 2>/dev/null)" != "$wanted" ] || exit 0
# shellcheck disable=SC2086
echo "venv: installing $(echo $wanted) into $folder${VENV_SIZE:+, $VENV_SIZE}"
python3 -m venv "$folder"
"$folder/bin/python" -m pip install -q "$@" 2>"$folder/pip.log" || { cat "$folder/pip.log" >&2; exit 1; }
echo "$wanted" >"$folder/.packages"
echo "venv: $(du -sh "$folder" | cut -f1) in $folder"
