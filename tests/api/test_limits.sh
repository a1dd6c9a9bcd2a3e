#!/bin/sh
# Requests and clients that are refused, by tests/api/limits.py.
command -v python3 >/dev/null || { echo "skip tests/api: there is no python3"; exit 0; }
exec python3 "$(dirname "$0")/limits.py" "$1"
