#!/bin/sh
# Fails when a file in src/A includes a header of src/B that A may not know, or a private
# header (int_*.h) of another folder, or when an OS, CUDA, MPI or intrinsics header is
# included outside the folders that may.
cd "$(dirname "$0")/../../src" || exit 2
awk '
BEGIN {
    may["base"] = ""
    may["hub"] = "base"
    may["quant"] = "base"
    may["kernels"] = "base quant"
    may["tensor"] = "base quant kernels dist"
    may["formats"] = "base quant"
    may["token"] = "base formats"
    may["chat"] = "base token"
    may["dist"] = "base"
    may["model"] = "base quant tensor formats dist"
    may["engine"] = "base quant tensor token model dist"
    may["train"] = "base quant tensor formats token chat model dist engine"
    may["server"] = "base token chat engine"
    may["cli"] = "base hub quant kernels tensor formats token chat model dist engine train server"
}
FNR == 1 { n = split(FILENAME, p, "/"); from = p[1]; isa = n > 2 && p[2] != "scalar" ? p[2] : "" }
match($0, /^#include "[a-z0-9_]+\//) {
    to = substr($0, RSTART + 10, RLENGTH - 11)
    if (to != from && (" " may[from] " ") !~ (" " to " ")) {
        printf "%s:%d: %s may not include %s\n", FILENAME, FNR, from, to; bad = 1
    }
    if (to != from && $0 ~ /\/int_/ && from != "cli") {
        printf "%s:%d: a private header of %s\n", FILENAME, FNR, to; bad = 1
    }
}
/^#include <(immintrin|arm_neon|x86intrin)\.h>/ && !isa {
    printf "%s:%d: intrinsics outside an instruction-set folder\n", FILENAME, FNR; bad = 1
}
/^#include <(mpi|cuda)/ && from != "dist" && from != "cuda" {
    printf "%s:%d: %s\n", FILENAME, FNR, $0; bad = 1
}
/getenv\(/ && from != "cli" { printf "%s:%d: environment read outside cli\n", FILENAME, FNR; bad = 1 }
/[^_a-z]exit\(/ && from != "cli" && FILENAME != "base/mem.c" {
    printf "%s:%d: exit outside cli\n", FILENAME, FNR; bad = 1
}
END { exit bad }' $(find . -name '*.[ch]' | sed 's,^\./,,' | sort)
