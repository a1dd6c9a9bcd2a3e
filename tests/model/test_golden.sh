#!/bin/sh
# minke verify on every golden model: those in the tree, and those beside the checkout.
minke=$1
for dir in tests/golden/models/*/ ../shared/golden/models/deepseek-v2/ \
    ../shared/golden/models/deepseek-v2-lite/ ../shared/golden/models/deepseek-v3/; do
    if [ ! -d "$dir" ]; then
        echo "skip: no $dir"
        continue
    fi
    for cpu in scalar avx2 avx512 avx512bf16 amx; do
        $minke cpu 2>/dev/null | grep -qw $cpu || [ $cpu = scalar ] || continue
        MK_CPU=$cpu $minke verify "$dir" || exit 1
    done
done
