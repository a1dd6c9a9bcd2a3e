#!/bin/sh
# Installs the packages given, when it may; else prints the one command that does.
missing=
for p in "$@"; do
    dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
done
[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ]; then
    su=
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    su=sudo
else
    echo "Packages are missing. Install them with:" >&2
    echo "  sudo apt-get install$missing" >&2
    exit 1
fi
# shellcheck disable=SC2086
$su apt-get install -y --no-install-recommends $missing ||
    { $su apt-get update && $su apt-get install -y --no-install-recommends $missing; }
