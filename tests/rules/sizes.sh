#!/bin/sh
# House limits: files 1,500 lines (headers 250), functions 80 lines (parsers and forward
# passes 120).  Prints the ten longest of each.
cd "$(dirname "$0")/../.." || exit 2
bad=0
echo "longest files:"
find src tools tests -name '*.[ch]' -exec wc -l {} + | grep -v ' total$' | sort -rn | head -n 10
for f in $(find src tools tests -name '*.[ch]'); do
    n=$(wc -l <"$f")
    case $f in *.h) max=250 ;; *) max=1500 ;; esac
    [ "$n" -gt $max ] && echo "$f: $n lines, limit $max" && bad=1
done
echo "longest functions:"
# With this formatting a function body starts at a line "{" and ends at a line "}".
functions=$(find src tools tests -name '*.c' | sort | xargs awk '
FNR == 1 { head = "" }
/^[a-z].*\(/ { head = $0; sub(/\(.*/, "", head); sub(/.*[ *]/, "", head) }
/^\{$/ { start = FNR }
/^\}$/ { if (head != "") printf "%d %s:%d %s\n", FNR - start + 1, FILENAME, start, head; head = "" }')
echo "$functions" | sort -rn | head -n 10
echo "$functions" | awk '$1 > 120 || ($1 > 80 && $3 !~ /parse|forward/) {
    printf "%s %s: %d lines, limit 80 (parsers and forward passes 120)\n", $2, $3, $1; bad = 1
} END { exit bad }' || bad=1
exit $bad
