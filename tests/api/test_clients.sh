#!/bin/sh
# Programs of others: the official clients, installed into build/clients when they are not there yet.
minke=$(realpath "$1")
here=$(realpath "$(dirname "$0")")
dir=$(realpath "$here/../..")/build/clients
failed=0
mkdir -p "$dir"

python="$dir/python/bin/python"
if ! command -v python3 >/dev/null; then
    echo "skip the Python clients: there is no python3"
elif ! "$python" -c 'import anthropic, openai' 2>/dev/null &&
    ! { python3 -m venv "$dir/python" && "$python" -m pip -q install --timeout 10 --retries 1 \
        'openai>=2' 'anthropic>=0.100'; } >"$dir/pip.log" 2>&1; then
    echo "skip the Python clients: $(tail -n 1 "$dir/pip.log")"
else
    "$python" "$here/clients.py" "$minke" || failed=1
fi

packages="openai@7 @anthropic-ai/sdk@1 ai@6 @ai-sdk/openai-compatible@2 @ai-sdk/deepseek@2 \
@langchain/openai@1 @langchain/deepseek@1 compatcanary@0.2"
# shellcheck disable=SC2086
install() {
    cd "$dir" && npm install --no-audit --no-fund --prefer-offline --fetch-retries 1 \
        --fetch-timeout 20000 $packages && echo "$packages" >node_modules/.minke
}
if ! command -v npm >/dev/null; then
    echo "skip the JavaScript clients: there is no npm"
elif [ "$(cat "$dir/node_modules/.minke" 2>/dev/null)" != "$packages" ] &&
    ! (install) >"$dir/npm.log" 2>&1; then
    echo "skip the JavaScript clients: $(tail -n 1 "$dir/npm.log")"
else
    cd "$dir" || exit 2
    "$here/with_server.py" "$minke" -c 8000 -- node "$here/clients.mjs" || failed=1
    # shellcheck disable=SC2016
    "$here/with_server.py" "$minke" -- sh -c 'npx --no-install compatcanary scan \
        --base-url "$0/v1" --model tiny --profile modern' >canary.log || {
        cat canary.log
        failed=1
    }
fi
exit $failed
