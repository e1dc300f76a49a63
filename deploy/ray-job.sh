#!/usr/bin/env bash
# One sweep as a job of a running Ray cluster: deploy/ray-job.sh http://HEAD:8265 RECIPE NAME [ROOT]
# Submitting the same again goes on with the sweep. `ray job stop ID` gives it a minute to keep its trials' state.
# The cluster's token, where it has one, is read from RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token.
set -euo pipefail
address=${1:?usage: deploy/ray-job.sh http://HEAD:8265 RECIPE NAME [ROOT]}
recipe=${2:?a recipe, or a YAML file in the source tree}
name=${3:?a name for the sweep}
root=${4:-${INVSEARCH_ROOT:?a ROOT that all nodes see, such as s3://BUCKET/sweeps}}
bin=${INVSEARCH_BIN:-$PWD/.venv/bin}
# `ray start` asks for a token as soon as it finds one; the client shows it only where it is told to.
if [ -n "${RAY_AUTH_TOKEN:-}${RAY_AUTH_TOKEN_PATH:-}" ] || [ -f ~/.ray/auth_token ]; then
    export RAY_AUTH_MODE=${RAY_AUTH_MODE:-token}
fi
# INVSEARCH_PYTHON is a Python on the nodes that has what invsearch requires; the code comes with the job.
exec "$bin/ray" job submit --address "$address" --working-dir "${INVSEARCH_SHIP:-.}" \
    --submission-id "$name-$(date +%Y%m%d-%H%M%S)" \
    --runtime-env-json '{"env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": "60"}, "excludes": [".git", ".venv", "sweeps"]}' \
    -- "${INVSEARCH_PYTHON:-python}" -m search.cli compare "$recipe" --name "$name" --root "$root" --or-resume --wait-for-resources 120
