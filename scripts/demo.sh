#!/usr/bin/env bash
# The demo: bring the lab up, move the running cluster, show the report, leave the lab running.
# Usage: scripts/demo.sh COMMAND... (how to call intercloud)
set -euo pipefail
cd "$(dirname "$0")/.."
"$@" lab up
where=$("$@" lab status | sed -n 's/^cluster shop *at \(lab-[ab]\).*/\1/p')
if [ "$where" = lab-b ]; then to=lab-a; else where=lab-a to=lab-b; fi
"$@" migrate --source "$where" --target "$to" --report demo-report.json
cat <<END

The report is in demo-report.json and demo-report.html. The lab goes on running; look round:
  $* lab status
  $* migrate --source $to --target $where        move it back
  $* migrate --source $to --target $where --strategy cold
and take it down with: make lab-down
END
