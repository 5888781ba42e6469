#!/bin/bash
# Inside a guest: looks at what writer.sh left in some folders, as it was at one instant. Prints the highest number.
shopt -s nullglob
first= ; last=
for folder in "$@"; do
    highest=0
    for file in "$folder"/*-*; do
        name=${file##*/}
        hash=$(sha256sum <"$file")
        if [ "${hash%% *}" != "${name#*-}" ]; then echo "$file is not what its name says"; exit 1; fi
        [ "${name%%-*}" -gt "$highest" ] && highest=${name%%-*}
    done
    [ -n "$first" ] || first=$highest
    # Folders are written in turn: each has what the one before it has, or one less.
    if [ "$highest" -gt "${last:-$highest}" ] || [ "$highest" -lt $((first - 1)) ]; then
        echo "$folder is of another time: $highest, and the first $first"
        exit 1
    fi
    last=$highest
done
echo "$first"
