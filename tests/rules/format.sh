#!/bin/sh
# clang-format 14 decides layout.
cd "$(dirname "$0")/../.." || exit 2
fmt=$(command -v clang-format-14 || command -v clang-format)
if [ -z "$fmt" ]; then
    echo "skip: clang-format is not installed (make deps-dev)"
    exit 0
fi
# shellcheck disable=SC2046
"$fmt" --dry-run -Werror $(find src tools tests -name '*.[ch]')
