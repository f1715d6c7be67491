#!/bin/sh
# Runs test programs and scripts and counts what they report.
#
#   run-tests.sh PROGRAM...       in: paths of cmocka programs and tests/*.sh
#   out: one line a program, the names of what failed or was skipped, then alone on the last
#        line `N passed, N failed` (with `, N skipped` when there were any); exit 1 on failure
#
# A program reports in TAP lines on stdout (cmocka does, told by the environment):
#   ok 1 - name        not ok 2 - name        ok 3 # SKIP why        ok 3 - name # SKIP why
# and may add `# WARNING why`, which is shown and counts as nothing.
# One that exits with an error without a `not ok` line, is killed, or takes longer than
# TEST_TIMEOUT seconds, counts as one failed test under its own name. A program that leaves
# out what its `1..N` promised has failed too. Full output is kept in $BUILD/test-logs.
set -u
BUILD=${BUILD:-build}
limit=${TEST_TIMEOUT:-$([ -n "${TN_LONG:-}" ] && echo 14400 || echo 900)}
logs=$BUILD/test-logs
cache=$(cd "$(dirname "$BUILD")" && pwd)/$(basename "$BUILD")/test-cache # of the tenon program; tests' own are elsewhere
rm -rf "$logs" "$cache" && mkdir -p "$logs"
unset TENON_CACHE_DIR TENON_CACHE_BYTES
export BUILD CMOCKA_MESSAGE_OUTPUT=TAP XDG_CACHE_HOME="$cache"

for program in "$@"; do
    name=$(basename "$program" .sh)
    log=$logs/$name
    began=$(date +%s)
    case $program in
    *.sh) timeout -k 10 "$limit" sh "$program" >"$log" 2>"$log.err" </dev/null ;;
    *) timeout -k 10 "$limit" "$program" >"$log" 2>"$log.err" </dev/null ;;
    esac
    status=$?
    seconds=$(($(date +%s) - began))
    awk -v name="$name" -v status="$status" -v seconds="$seconds" -v limit="$limit" -v totals="$logs/totals" '
        function title(line) {
            sub(/^(not )?ok [0-9]* *(- )?(# *SKIP *)?/, "", line)
            return line == "" ? "(no name)" : line
        }
        /^# WARNING / { list = list "  warning " name ": " substr($0, 11) "\n"; next }
        /^1\.\.[0-9]+/ { sub(/^1\.\./, ""); promised += $0; next }
        /^(not )?ok .*# *SKIP/ { skipped++; list = list "  skipped " name ": " title($0) "\n"; next }
        /^ok / { passed++; next }
        /^not ok / { failed++; list = list "  FAILED  " name ": " title($0) "\n"; next }
        END {
            if (status == 124) { failed++; list = list "  FAILED  " name ": took over " limit " s\n" }
            else if (status > 128) { failed++; list = list "  FAILED  " name ": killed by signal " status - 128 "\n" }
            else if (status != 0 && !failed) { failed++; list = list "  FAILED  " name ": exit status " status "\n" }
            else if (passed + failed + skipped < promised) {
                failed++; list = list "  FAILED  " name ": ended after " passed + failed + skipped " of " promised "\n"
            }
            printf "%-28s %5d passed %4d failed %4d skipped  %4d s\n", name, passed, failed, skipped, seconds
            printf "%s", list
            printf "%d %d %d\n", passed, failed, skipped >> totals
            exit failed != 0
        }' "$log" || { echo "  output of $name (all of it: $log, $log.err):"
        grep -v '^ok ' "$log" | tail -n 40 | sed 's/^/    /'
        tail -n 20 "$log.err" | sed 's/^/    /'; }
done

[ -e "$logs/totals" ] || : >"$logs/totals"
awk '{ p += $1; f += $2; s += $3 }
    END { printf "%d passed, %d failed%s\n", p, f, s ? ", " s " skipped" : ""; exit f != 0 }' "$logs/totals"
