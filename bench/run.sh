#!/bin/sh
# Measures models of real shapes with random weights and appends a table to
# bench/results/CPU.md.
#
#   bench/run.sh [SHAPE:TYPE ...]          e.g. qwen-1.5b:q4_k v2-lite:q4_k
#
#   B=build/gcc-x86_64   where minke and mkmodel are (default: what make built last)
#   MODELS=build/bench   where the models go; they stay for the next run
#   P=512 N=64 R=3 T=    tokens of the prompt, tokens to generate, repeats, threads (all)
cd "$(dirname "$0")/.." || exit 2
P=${P:-512} N=${N:-64} R=${R:-3} MODELS=${MODELS:-build/bench}
[ -n "$B" ] || B=$(dirname "$(readlink minke || echo build/none/minke)")
if [ ! -x "$B/minke" ] || [ ! -x "$B/mkmodel" ]; then
    echo "bench/run.sh: no $B/minke and $B/mkmodel; run make minke $B/mkmodel first" >&2
    exit 2
fi
[ $# -gt 0 ] || set -- small-qwen2:q4_k small-qwen2:q8_0 qwen-1.5b:q4_k qwen-1.5b:q8_0 v2-lite:q4_k

# The value of a key of one-line JSON on stdin, and one in percent.
get() { sed -n "s/.*\"$1\": \"\{0,1\}\([^,}\"]*\).*/\1/p"; }
percent() { get "$1" | awk '{printf "%.0f %%", 100 * $1}'; }
round() { awk -v d="$1" '{printf "%.*f", d, $1}'; }

cpu=$("$B/minke" cpu --json)
model=$(echo "$cpu" | get model)
file=bench/results/$(echo "${model:-unknown}" | tr -cs 'A-Za-z0-9.-' '-' | sed 's/^-//; s/-$//').md
mkdir -p "$MODELS" bench/results
rows=$(mktemp) || exit 2
trap 'rm -f "$rows"' EXIT

for item in "$@"; do
    shape=${item%%:*} type=${item#*:}
    path=$MODELS/$shape-$type
    case $type in q*) path=$path.gguf ;; esac
    if [ ! -e "$path" ]; then
        echo "making $path" >&2
        "$B/mkmodel" --shape "$shape" --type "$type" --out "$path" || exit 1
    fi
    echo "measuring $path" >&2
    # shellcheck disable=SC2086
    j=$("$B/minke" bench -m "$path" -p "$P" -n "$N" -r "$R" ${T:+-t $T} --json) || exit 1
    v() { echo "$j" | get "$1"; }
    share() { echo "$j" | percent "$1"; }
    printf '| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n' "$shape" "$type" \
        "$(v prompt_tps | round 1)" "$(share prompt_arithmetic_share)" "$(v gen_tps | round 1)" \
        "$(share gen_bandwidth_share)" "$(v bytes_per_token | awk '{printf "%.2f", $1 / 1e9}')" \
        "$(v first_token_s | round 2)" "$(v read_gb_s | round 1)" "$(v peak_gmac_s | round 0)" \
        >>"$rows"
done
threads=$(echo "$j" | get threads) level=$(echo "$j" | get cpu)
commit=$(git rev-parse --short HEAD 2>/dev/null || echo "no commit")
[ -s "$file" ] || printf '# Speed on %s\n' "$model" >"$file"
{
    printf '\n## %s, %s, %s threads, %s\n\n' "$(date -u +%F)" "$commit" "$threads" "$level"
    printf 'Prompt of %s tokens, %s generated, median of %s.\n\n' "$P" "$N" "$R"
    echo '| shape | type | prompt t/s | of peak | gen t/s | of bandwidth | GB/token | first token s | read GB/s | peak GMAC/s |'
    echo '|---|---|---:|---:|---:|---:|---:|---:|---:|---:|'
    cat "$rows"
} >>"$file"
echo "added to $file" >&2
