#!/bin/sh
# Ten seconds of the soak (make soak: half an hour).
command -v python3 >/dev/null || { echo "skip the soak: there is no python3"; exit 0; }
exec python3 "$(dirname "$0")/soak.py" "$1" --seconds 10 --clients 16
