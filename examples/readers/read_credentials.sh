#!/bin/sh
# The credentials of this start, in five lines of shell: one JSON object of names and texts, which can be read once.
#
# It needs jq. Without it, deliver one secret as a file instead (deliver.file, format = "raw") and read that by `cat`.
# `printf` is a part of the shell: a value never stands among the arguments of a program. Take the number in the variable,
# never /dev/fd or /proc/self/fd: the kernel refuses those where root made the pipe.

credentials=$(cat <&"$PORTCULLIS_CREDENTIALS_FD")
for name in $(printf %s "$credentials" | jq -r 'keys[]'); do
  value=$(printf %s "$credentials" | jq -j --arg name "$name" '.[$name]')
  echo "$name $(printf %s "$value" | wc -c) bytes"
done
