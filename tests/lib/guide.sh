# What tests of guides share: sourced in the repository's root with `guide` set to a name, it makes the empty folder $work with
# the program in the PATH.
BUILD=${BUILD:-build}
root=$PWD
work=$root/$BUILD/$guide
rm -rf "$work" && mkdir -p "$work/bin" || exit 1
ln -s "$root/$BUILD/tenon" "$work/bin/tenon"
PATH=$work/bin:$PATH
