# What an ordinary shell script does: each word printed is a thing that worked.
set -euo pipefail
port=$1 data=$2
printf 'b\na\n' | sort > "$data/sorted"
[ "$(head -1 "$data/sorted")" = a ] && echo -n "pipes"
mv "$data/sorted" "$data/moved" && rm "$data/moved" && echo -n " | files"
exec 9<>"/dev/tcp/127.0.0.1/$port" && echo ping >&9 && read -r answer <&9 && [ "$answer" = ping ] && echo -n " | net"
sleep 5 & kill $! && { wait $! || true; } && echo -n " | jobs"
trap 'echo -n " | traps"' USR1 && kill -USR1 $$
[ "$(env | grep -c '^HOME=')" = 1 ] && echo " | environment"
