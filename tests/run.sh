#!/bin/sh
# Runs each argument as a command, ten minutes at most; shows what it printed when it fails (VERBOSE=1: always)
# and every line that says something was skipped; ends with the counts.
cd "$(dirname "$0")/.." || exit 2
passed=0 failed=0 skipped=0
out=$(mktemp) || exit 2
trap 'rm -f "$out"' EXIT
for t in "$@"; do
    # shellcheck disable=SC2086
    if timeout 600 $RUN $t >"$out" 2>&1; then
        passed=$((passed + 1)) word=ok
    else
        failed=$((failed + 1)) word=FAIL
    fi
    echo "$word ${t%% *}"
    if [ $word = FAIL ] || [ -n "$VERBOSE" ]; then cat "$out"; else grep -i '^skip' "$out"; fi
    skipped=$((skipped + $(grep -ci '^skip' "$out")))
done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
