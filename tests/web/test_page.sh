#!/bin/sh
# The chat page in headless Chromium (tests/web/page.mjs), where there is one.
minke=$(realpath "$1")
root=$(realpath "$(dirname "$0")/../..")
dir=$root/build/browser
CHROMIUM=$(command -v chromium || command -v chromium-browser || command -v google-chrome)
if [ -z "$CHROMIUM" ]; then
    echo "skip tests/web: there is no Chromium"
    exit 0
fi
if ! command -v npm >/dev/null; then
    echo "skip tests/web: there is no npm"
    exit 0
fi
mkdir -p "$dir" && cd "$dir" || exit 2
if ! [ -e node_modules/.minke ] &&
    ! { npm install --no-audit --no-fund --prefer-offline --fetch-retries 1 --fetch-timeout 20000 \
        puppeteer-core@24 axe-core@4 && touch node_modules/.minke; } >npm.log 2>&1; then
    echo "skip tests/web: $(tail -n 1 npm.log)"
    exit 0
fi
export CHROMIUM
exec "$root/tests/api/with_server.py" "$minke" -- node "$root/tests/web/page.mjs"
