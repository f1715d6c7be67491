# What scripts that run the program share: sourced after $TENON is an absolute path, with `n=0` the number of checks so far.
#
# tenon ARGS... runs it, its standard output and error going to `out` and `err` of the working folder; ok, is and says
# look at what it left.
n=0

# Runs the program; its status, out and err are then looked at.
tenon() {
    "$TENON" "$@" >out 2>err
    status=$?
}
seen() { printf 'exit status %s\n' "$status"; head -n 8 out err; }
ok() { # name, condition as a command...
    n=$((n + 1))
    name=$1
    shift
    if "$@"; then
        echo "ok $n - $name"
    else
        echo "not ok $n - $name"
        seen | sed 's/^/# /'
    fi
}
is() { [ "$status" = "$1" ]; }
says() { is "$1" && grep -qF -- "$2" "$3"; } # status, text, file
