#!/bin/sh
# bench/serve with the built-in model, as short as can be: its table has a row for each number of
# streams, and its figures are there.
command -v python3 >/dev/null || { echo "skip bench/serve: there is no python3"; exit 0; }
root=$(realpath "$(dirname "$0")/../..")
out=$(B=$(dirname "$(realpath "$1")") STREAMS="1 3 16" N=200 R=1 PAIRS=3 IDLE=20 "$root/bench/serve" --dry tiny) || exit 1
failed=0
for want in '^| 1 |' '^| 3 |' '^| 16 |' '^| tokens/s, 16 streams : 1 | [0-9.]* | >= 4 |' \
    "^| the server's own, ms | -*[0-9.]* | < 1 |" \
    '^| of 3 pairs half are within, ms | -*[0-9.]* .. -*[0-9.]* |' '^| of the second, [1-9][0-9]* of ' \
    '^| 20 idle connections that asked once, MB | -*[0-9.]* | < 100 |'; do
    echo "$out" | grep -q "$want" || { echo "FAIL: no line $want"; failed=1; }
done
[ $failed = 0 ] || echo "$out"
exit $failed
