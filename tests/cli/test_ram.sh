#!/bin/sh
# Models within a bounded memory: both formats, the same scores with any --ram and number of
# threads, what plan and the commands say, errors that give both numbers.
mkmodel=$(realpath "$3")
. "$(dirname "$0")/lib.sh"

ids=$(seq -s, 1 70)
same() {
    status 0 "$minke" logits -m "$1" --ids "$ids" --json -b 48
    mv out want
    for more in "--ram 1G" "--ram 600M -t 1" "--ram 1G -t 2" "--ram 1G --cpu scalar"; do
        [ "$more" != "--ram 1G --cpu scalar" ] ||
            { status 0 "$minke" logits -m "$1" --ids "$ids" --json -b 48 --cpu scalar; mv out want; }
        status 0 "$minke" logits -m "$1" --ids "$ids" --json -b 48 $more
        cmp -s out want || fail "$1 $more: other scores"
        says err "GB hold 16 of 16 experts"
    done
}
for form in "q8_0 new" "q4_k old" "bf16 new"; do
    "$mkmodel" --shape tiny-v3 --type ${form% *} --mla ${form#* } --format gguf --out tiny.gguf || exit 2
    same ./tiny.gguf
done
"$mkmodel" --shape tiny-v3 --type f8 --out f8 || exit 2
same ./f8
same "$tiny"

# What was read is said at the end.
status 0 "$minke" run -m "$tiny" -p hi -n 4 --temp 0 --ram 1G --stats
says err "[experts: "
says err "GB read"
status 0 "$minke" bench -m "$tiny" -p 8 -n 4 -r 1 --ram 1G
says err "[experts: "
MINKE_RAM=1G status 0 "$minke" run -m "$tiny" -p hi -n 1 --temp 0
says err "GB stay"
status 0 "$minke" run -m "$tiny" -p hi -n 1 --temp 0 # it fits
grep -q "GB stay" err && fail "streams what fits"
status 0 "$minke" run -p hi -n 1 --ram 1G # inside the program

status 1 "$minke" run -m "$tiny" -p hi --ram 20M
says err "of weights that every token reads"
says err "--ram allows 0.02 GB"
status 2 "$minke" run -m "$tiny" -p hi --ram much
says err "--ram much is not a size"

status 0 "$minke" plan -m "$tiny" --ram 1G
for part in "in the file" "stays in memory" "memory for experts" "16 fit" "GB/s, measured"; do
    says out "$part"
done
status 0 "$minke" plan -m ./tiny.gguf --ram 1G --json
json out
says out '"experts": 16'
status 2 "$minke" plan --ram 1G
status 3 "$minke" plan -m "$here/../golden/models/qwen2" --ram 1G
says err "has no routed experts"

# The server counts what it reads.
if command -v python3 >/dev/null && command -v curl >/dev/null; then
    cat >ask <<'A'
curl -s "$1/v1/completions" -H "Content-Type: application/json" -d '{"prompt": "hi", "max_tokens": 3}' >answer
curl -s "$1/metrics"
A
    status 0 python3 "$here/../api/with_server.py" "$minke" -m "$tiny" --ram 1G -- sh ./ask
    says answer '"usage"'
    says out "minke_experts_needed_total"
    says out "minke_experts_read_bytes_total"
    # Cut while it is served: an error of the request, and the server lives.
    cat >ask <<'A'
truncate -s 100000 tiny.gguf
curl -s "$1/v1/completions" -H "Content-Type: application/json" -d '{"prompt": "hi"}'
curl -s "$1/health"
A
    status 0 python3 "$here/../api/with_server.py" "$minke" -m ./tiny.gguf --ram 1G -- sh ./ask
    says out "has changed since it was opened"
    says out '"status"'
fi
exit $failed
