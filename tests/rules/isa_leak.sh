#!/bin/sh
# No object outside an instruction-set folder may use registers beyond the baseline.
bad=0
[ "$(uname -m)" = x86_64 ] || exit 0
for o in $(find "$1/src" -name '*.o' ! -path '*/avx*' ! -path '*/amx/*'); do
    if objdump -d --no-show-raw-insn "$o" | grep -qE '%([yz]mm|tmm)'; then
        echo "$o: wide registers outside an instruction-set folder"
        bad=1
    fi
done
exit $bad
