"""The shell scripts that ellopt runs on a board. POSIX sh with what busybox has; nothing is installed there.

Everything of one ellopt process lives in ``BASE/ellopt-OWNER`` (mode 700): ``bundle-DIGEST`` directories, uploaded
once, and a ``run-NAME`` directory for the length of a run. OWNER is unguessable, so nobody else can have made that
directory before us. What is in such a directory can be found, its processes ended (by their working directory) and
the directory removed by a later connection, whatever became of the one that made it. A script that a lost connection
has left running would make such a directory anew behind its back: it is found by its name (``process_name``) and ended
before.
"""

from __future__ import annotations

import hashlib
import re
import shlex
import uuid
from collections.abc import Iterable

from ellopt.core.errors import InfrastructureError

#: signs of life go both ways this often, in seconds, while a command runs
HEARTBEAT = 5
#: a side that has heard nothing for this long gives up, in seconds
SILENCE = 30
#: directories of other clients that were not touched for this long are removed, in days
ABANDONED_DAYS = 7

COMMON_SCRIPT = r"""
PATH=$PATH:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin; export PATH
LC_ALL=C; export LC_ALL
umask 077
working() { # the links to the working directories of processes inside directory $1
  ls -l /proc/[0-9]*/cwd 2>/dev/null | while read -r l; do
    case $l in *" -> $1"|*" -> $1/"*|*" -> $1 (deleted)") echo "${l#* /proc/}" ;; esac
  done
}
sweep() { # end everything that works inside directory $1, also what is being started meanwhile
  for again in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    w=$(working "$1")
    [ -z "$w" ] && return
    echo "$w" | while read -r l; do kill -KILL "${l%%/*}" 2>/dev/null; done
  done
}
halt() { # end what connections of owner $1 to this board have left running, but for what is called $2, which is ours
  theirs=${2%-*}; theirs=ellopt-$1-${theirs##*-}-
  # the pattern does not match itself
  cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\000' '\n' | grep "[e]${theirs#e}" | grep -qv "$2" || return 0
  for f in /proc/[0-9]*/cmdline; do
    l=
    { read -r l < "$f"; } 2>/dev/null
    case $l in *"$2"*) ;; *"$theirs"*) f=${f#/proc/}; kill -KILL "${f%/*}" 2>/dev/null ;; esac
  done
}
wipe() { # end everything inside directory $1 and remove it; fails if something is left
  [ -d "$1" ] || return 0
  sweep "$1"
  chmod -R u+w "$1" 2>/dev/null
  rm -rf "$1" 2>/dev/null
  [ ! -e "$1" ]
}
digest() { # hash of file $1, with its kind; "none" where the board has no such program
  if command -v sha256sum >/dev/null 2>&1; then h=$(sha256sum < "$1") && echo "sha256:${h%% *}" && return
  elif command -v openssl >/dev/null 2>&1; then h=$(openssl dgst -sha256 < "$1") && echo "sha256:${h##* }" && return
  elif command -v shasum >/dev/null 2>&1; then h=$(shasum -a 256 < "$1") && echo "sha256:${h%% *}" && return
  fi
  echo none
}
size() { n=$(wc -c < "$1") && echo $((n)); }
bases() { # where our files may be: the folder that the user chose, $1, or the usual ones
  chosen=$1; case $chosen in "~") chosen=$HOME ;; "~/"*) chosen=$HOME/${chosen#"~/"} ;; esac
  if [ -n "$chosen" ]; then mkdir -p "$chosen" 2>/dev/null; set -- "$chosen"
  else set -- "$TMPDIR" /tmp "$HOME" /dev/shm /var/tmp; fi
  for b in "$@"; do [ -n "$b" ] && [ -d "$b" ] && echo "$b"; done
}
"""

# Says what tells this machine from others, and this start of it from others.
_IDENTITY = r"""
id=
for f in /proc/device-tree/serial-number /sys/firmware/devicetree/base/serial-number /etc/machine-id \
  /var/lib/dbus/machine-id; do
  [ -z "$id" ] && [ -r "$f" ] && id=$(tr -d '\000\n' < "$f")
done
echo "identity $id"
echo "boot $(cat /proc/sys/kernel/random/boot_id 2>/dev/null)"
echo done
"""

# Arguments: our owner, days, the folder that the user chose or nothing, what the connection's processes are called,
# stale owners. Removes what is left of earlier clients and of our own earlier connections, then finds a directory in
# which files can be written and executed.
_OPEN = r"""
mine=$1 days=$2 place=$3 name=$4; shift 4
for o in "$mine" "$@"; do halt "$o" "$name"; done
bases "$place" | while read -r b; do
  for d in "$b/ellopt-$mine"/run-*; do wipe "$d" || echo "left $d"; done
  for o in "$@"; do wipe "$b/ellopt-$o" || echo "left $b/ellopt-$o"; done
  for d in "$b"/ellopt-????????????????????????????????; do
    [ -d "$d" ] && [ -O "$d" ] && [ "$d" != "$b/ellopt-$mine" ] || continue
    [ -n "$(find "$d" -prune -mtime "+$days" 2>/dev/null)" ] && [ -z "$(working "$d")" ] && wipe "$d"
  done
done
echo "machine $(uname -m)"
model=
for f in /proc/device-tree/model /sys/firmware/devicetree/base/model; do
  [ -z "$model" ] && [ -r "$f" ] && model=$(tr -d '\000' < "$f")
done
[ -z "$model" ] && model=$(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo 2>/dev/null | head -n 1)
echo "model $model"
echo "cpus $(grep -c '^processor' /proc/cpuinfo 2>/dev/null)"
bases "$place" | while read -r b; do
  d=$b/ellopt-$mine
  mkdir "$d" 2>/dev/null || { [ -d "$d" ] && [ ! -L "$d" ] && [ -O "$d" ]; } || continue
  { printf '#!/bin/sh\necho works\n' > "$d/probe" && chmod 700 "$d/probe" && written=yes; } 2>/dev/null || written=
  if [ "$("$d/probe" 2>/dev/null)" = works ]; then
    free=$(df -Pk "$d" 2>/dev/null | sed -n '$p' | awk '{print $4}' 2>/dev/null)
    rm -f "$d/probe"
    echo "base ${free:--} $d"
  else
    [ -n "$written" ] && echo "noexec $b"
    rm -rf "$d" 2>/dev/null
  fi
done
echo done
"""

# Arguments: file. Standard input becomes the file; answers its size and hash.
_STORE = r"""
mkdir -p "${1%/*}" && cat > "$1" && echo "stored $(size "$1") $(digest "$1")" && echo done
"""

# Arguments: directory, files. Answers their sizes and hashes.
_VERIFY = r"""
cd "$1" || exit 1
shift
for f in "$@"; do [ -f "$f" ] || exit 1; echo "stored $(size "$f") $(digest "$f")"; done
echo done
"""

# Arguments: a partly uploaded directory, a file that is to be in it, where that lies if it was sent ahead.
_TAKE = 'mkdir -p "$1" && mv "$3" "$1/$2" && rmdir "${3%/*}" && echo taken; echo done\n'

# Arguments: a partly uploaded directory, its final name, the files to make executable.
_PUBLISH = r"""
cd "$1" || exit 1
from=$1 to=$2; shift 2
chmod 500 "$@" && cd / && mv "$from" "$to" && echo published
"""

# Arguments: bundle directory, run directory. Lays the bundle's files into a new run directory.
_STAGE = r"""
mkdir "$2" && cd "$1" || exit 1
find . -type d | while read -r d; do mkdir -p "$2/$d" || exit 1; done || exit 1
find . -type f | while read -r f; do ln -s "$1/$f" "$2/$f" 2>/dev/null || cp -p "$f" "$2/$f" || exit 1; done || exit 1
echo staged
"""

# Arguments: run directory, limit and longest silence in seconds, output names with a count before them, whether to fix
# the processor's frequency (1), command.
# The command has a process group of its own. Standard input is the life line: a line is a sign of life and is
# answered with a dot; when it ends, when nothing is heard for too long or when the limit passes, the group and
# everything else in the run directory is ended. Only elapsed time counts, so that the clock may jump.
RUN_SCRIPT = r"""
run=$1 limit=$2 silence=$3 count=$4; shift 4
outputs=
while [ "$count" -gt 0 ]; do outputs="$outputs $1"; shift; count=$((count - 1)); done
fix=$1; shift
cd "$run" || exit 1
trap '' PIPE HUP INT
exec 3<&0 </dev/null
group=
command -v setsid >/dev/null 2>&1 && group=setsid
put() { # write $1 into file $2: by ourselves, or by sudo where that asks for no password
  { echo "$1" >"$2"; } 2>/dev/null || echo "$1" | sudo -n tee "$2" >/dev/null 2>&1
}
fixed= governors=
if [ "$fix" = 1 ]; then
  fixed=none
  for g in CPUFREQ/cpu[0-9]*/cpufreq/scaling_governor; do
    [ -r "$g" ] && read -r was <"$g" || continue
    [ "$fixed" = none ] && fixed=yes
    [ "$was" = performance ] && continue
    put performance "$g"
    read -r now <"$g"
    if [ "$now" = performance ]; then governors="$governors $was:$g"; else fixed=refused; fi
  done
fi
before= after=
[ -r /proc/stat ] && read -r before </proc/stat
$group "$@" >.ellopt-stdout 2>.ellopt-stderr 3<&- &
child=$!
cd /
end() { kill -KILL "-$child" 2>/dev/null || kill -KILL "$child" 2>/dev/null; sweep "$run"; }
(
  while read -r _ <&3; do : > "$run/.ellopt-beat"; echo .; done 2>/dev/null
  end
) &
reader=$!
(
  # what is told between the start of a nap and its being known is not to leave one behind
  over= nap=
  trap 'over=1; [ -n "$nap" ] && kill -KILL "$nap" 2>/dev/null' TERM
  exec 3<&-
  while [ "$limit" -gt 0 ]; do
    step=$silence
    [ "$limit" -lt "$step" ] && step=$limit
    (cd "$run" && exec sleep "$step" >/dev/null 2>&1) & nap=$!
    [ -n "$over" ] && kill -KILL "$nap" 2>/dev/null
    wait "$nap"
    [ -n "$over" ] && exit 0
    nap=
    limit=$((limit - step))
    [ "$limit" -le 0 ] && { echo limit; break; }
    [ -e "$run/.ellopt-beat" ] || break
    rm -f "$run/.ellopt-beat"
  done
  end
) &
timer=$!
wait "$child" 2>/dev/null
code=$?
[ -r /proc/stat ] && read -r after </proc/stat
for g in $governors; do put "${g%%:*}" "${g#*:}"; done
kill -KILL "-$child" 2>/dev/null
kill -TERM "$timer" 2>/dev/null
kill -KILL "$reader" 2>/dev/null
wait "$timer" "$reader" 2>/dev/null
cd "$run" || exit 1
echo probe 2>/dev/null >.ellopt-probe || echo full
echo "exit $code"
times
echo "$before"
echo "$after"
[ -n "$fixed" ] && echo "fixed $fixed"
for f in .ellopt-stdout .ellopt-stderr $outputs; do
  [ -f "$f" ] && echo "file $(size "$f") $(digest "$f") $f"
done
echo done
"""

# Arguments: run directory, files. Writes the files one after the other.
_FETCH = 'cd "$1" || exit 1; shift; cat "$@"\n'

# Arguments: directories.
_WIPE = 'for d in "$@"; do wipe "$d" || exit 1; done; echo wiped\n'

# Arguments: the folder that the user chose or nothing, what the connection's processes are called, owners. Removes all
# of their directories.
_CLEAN = r"""
place=$1 name=$2; shift 2
for o in "$@"; do halt "$o" "$name"; done
bases "$place" | while read -r b; do for o in "$@"; do wipe "$b/ellopt-$o" || echo left; done; done
echo cleaned
"""

_STATE = r"""
r() { [ -r "$2" ] && echo "$1 $(cat "$2" 2>/dev/null)"; }
r governor /sys/devices/system/cpu/cpu0/cpufreq/scaling_governor
r frequency /sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq
r temperature /sys/class/thermal/thermal_zone0/temp
r load /proc/loadavg
command -v vcgencmd >/dev/null 2>&1 && vcgencmd get_throttled 2>/dev/null
echo done
"""

#: where Linux has the governors of the processors' frequencies
CPUFREQ = "/sys/devices/system/cpu"

_OUTPUT_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def command(script: str, *arguments: str | int) -> str:
    """What the board's sh is to run: ``script`` with ``arguments``."""
    return " ".join(["set", "--", *map(_quote, arguments)]) + COMMON_SCRIPT + script


def identity_command() -> str:
    return command(_IDENTITY)


def process_name(owner: str, address: str) -> str:
    """What the processes of one more connection of ``owner`` to ``address`` are called on the board."""
    return f"ellopt-{owner}-{hashlib.sha256(address.encode()).hexdigest()[:16]}-{uuid.uuid4().hex}"


def open_command(owner: str, stale_owners: Iterable[str], place: str, process_name: str) -> str:
    return command(_OPEN, owner, ABANDONED_DAYS, place, process_name, *sorted(stale_owners))


def store_command(file: str) -> str:
    return command(_STORE, file)


def verify_command(directory: str, files: Iterable[str]) -> str:
    return command(_VERIFY, directory, *files)


def take_command(partial: str, file: str, ahead: str) -> str:
    return command(_TAKE, partial, file, ahead)


def publish_command(partial: str, directory: str, executables: Iterable[str]) -> str:
    return command(_PUBLISH, partial, directory, *executables)


def stage_command(bundle_directory: str, run_directory: str) -> str:
    return command(_STAGE, bundle_directory, run_directory)


def run_command(
    run_directory: str, limit: int, outputs: Iterable[str], arguments: Iterable[str], fix_frequency: bool = False
) -> str:
    """Raises ValueError for an output name that is more than a plain file name."""
    names = list(outputs)
    for name in names:
        if not _OUTPUT_NAME.fullmatch(name):
            raise ValueError(f"not a plain file name: {name!r}")
    script = RUN_SCRIPT.replace("CPUFREQ", CPUFREQ)
    return command(script, run_directory, limit, SILENCE, len(names), *names, int(fix_frequency), *arguments)


def fetch_command(run_directory: str, files: Iterable[str]) -> str:
    return command(_FETCH, run_directory, *files)


def wipe_command(*directories: str) -> str:
    return command(_WIPE, *directories)


def clean_command(owners: Iterable[str], place: str, process_name: str) -> str:
    return command(_CLEAN, place, process_name, *sorted(owners))


def state_command() -> str:
    return command(_STATE)


def answer_lines(what: str, output: bytes) -> list[str]:
    """The lines of a script's answer. Raises InfrastructureError if it is not text or was cut off."""
    try:
        lines = output.decode("utf-8").splitlines()
    except UnicodeDecodeError:
        raise InfrastructureError(f"{what}: the board answered with garbage") from None
    if not lines or lines[-1] not in ("done", "published", "staged", "wiped", "cleaned"):
        raise InfrastructureError(f"{what}: the board's answer was cut off or is garbage")
    return lines[:-1]


def _quote(argument: str | int) -> str:
    return shlex.quote(str(argument))
