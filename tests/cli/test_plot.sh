#!/bin/sh
# plot: files of one run and of several, runs that go on, names that look like markup.
. "$(dirname "$0")/lib.sh"

# a run of 200 steps whose last line is not finished
make_run() {
    mkdir -p "$1"
    awk -v seed="$2" 'BEGIN { srand(seed); for (i = 0; i < 200; i++)
        printf "{\"step\":%d,\"loss\":%f,\"grad_norm\":%f,\"lr\":0.001,\"toks_per_s\":%f,\"max_vio\":%f,\"accuracy/add\":%f,\"seconds\":0.5,\"cpu_seconds\":1}\n",
            i, 3 / (1 + i / 20) + rand() / 9, 0.1 + rand(), 20000 + 99 * rand(), rand(), i / 200
        printf "{\"step\":200,\"lo" }' >"$1/metrics.jsonl"
    echo '{"command": "pretrain", "note": "<script>alert(1)</script>"}' >"$1/run.json"
}
well_formed() {
    if command -v xmllint >/dev/null; then
        for f in "$@"; do xmllint --noout "$f" 2>err || fail "$f: $(cat err)"; done
    else
        echo "skip: no xmllint; tests/train/test_plot.c checks by itself"
    fi
}

make_run first 1
make_run 'second <&">' 2
status 0 "$minke" plot first --price 2
for f in loss grad_norm lr speed max_vio accuracy; do
    [ -s "first/$f.svg" ] || fail "no $f.svg"
    says out "first/$f.svg"
done
[ -e first/reward.svg ] && fail "a picture of nothing"
grep -q '<script' first/report.html && fail "markup from run.json went through"
says first/report.html "200 steps so far"
says first/report.html "core-hours"
grep -Eq '(src|href)=|@import|url\(' first/report.html && fail "the page wants something from elsewhere"
well_formed first/*.svg

status 0 "$minke" plot first 'second <&">' --out both
says both/loss.svg "second &lt;&amp;&quot;&gt;"
well_formed both/*.svg
status 0 "$minke" plot first --out other --smooth 0
cmp -s first/loss.svg other/loss.svg && fail "--smooth changes nothing"

status 2 "$minke" plot
status 2 "$minke" plot first 'second <&">'
status 2 "$minke" plot first --smooth 2
status 1 "$minke" plot nowhere
says err nowhere

exit $failed
