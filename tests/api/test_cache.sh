#!/bin/sh
# The cache of prefixes, over sockets, by tests/api/cache.py.
command -v python3 >/dev/null || { echo "skip tests/api: there is no python3"; exit 0; }
here=$(dirname "$0")
exec python3 "$here/cache.py" "$1"
