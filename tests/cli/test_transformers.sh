#!/bin/sh
# What minke writes is what transformers reads: $MINKE_PYTHON, or python3 if it has torch and
# transformers.
. "$(dirname "$0")/lib.sh"
python=${MINKE_PYTHON:-python3}
command -v "$python" >/dev/null || { echo "skip: no $python"; exit 0; }

# A trained checkpoint, a conversion, and random weights with 16-bit floats.
status 0 "$minke" sft --from tiny --out run --steps 1 --batch-toks 200 --ctx 256 --tasks add -t 1
status 0 "$minke" convert tiny folder -t 1
for folder in run/step-00000001 folder "$tiny"; do
    "$python" "$here/../py/check_transformers.py" "$minke" "$folder" >log 2>&1
    got=$?
    if [ $got = 77 ]; then
        grep '^skip' log
        exit $failed
    fi
    [ $got = 0 ] || fail "$folder: $(grep -v '^ok' log | tail -n 20)"
    [ -n "$VERBOSE" ] && cat log
done
exit $failed
