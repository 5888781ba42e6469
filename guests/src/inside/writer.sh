#!/bin/bash
# Inside a guest: writes files into some folders in turn, until stopped. A file gets its last name, its number and the hash of its
# bytes, once it is whole. So at any one instant each such file is whole, and the highest numbers of two folders differ
# by one at most.
number=${FROM:-1}
while :; do
    for folder in "$@"; do
        head -c $((RANDOM * 8 % 150000 + 100)) /dev/urandom >"$folder/new"
        hash=$(sha256sum <"$folder/new")
        mv "$folder/new" "$folder/$number-${hash%% *}"
        rm -f "$folder/$((number - 30))"-*
    done
    number=$((number + 1))
done
