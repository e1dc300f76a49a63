#!/usr/bin/env bash
# MLflow on PostgreSQL with an artefact store, on loopback: deploy/mlflow-postgres/start.sh FOLDER [ARTEFACTS]
#   FOLDER     the database's files and log; made where it is not there
#   ARTEFACTS  a folder or s3://BUCKET/path; default FOLDER/artefacts
# Then everywhere: export MLFLOW_TRACKING_URI=http://127.0.0.1:5000. Ctrl-C ends both.
# To serve other machines set HOST=0.0.0.0 and ALLOWED_HOSTS="mlflow.example.org" behind something that asks who calls.
set -euo pipefail
folder=$(mkdir -p "${1:?usage: start.sh FOLDER [ARTEFACTS]}" && cd "$1" && pwd)
artefacts=${2:-$folder/artefacts}
bin=${INVSEARCH_BIN:-$PWD/.venv/bin}
postgres=${POSTGRES_BIN:-$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)}
host=${HOST:-127.0.0.1} port=${PORT:-5000} database_port=${DATABASE_PORT:-5432}
data=$folder/data
as=()
if [ "$(id -u)" -eq 0 ]; then  # PostgreSQL refuses to run as root; the server of MLflow needs no other user
    owner=$(id -un postgres 2>/dev/null || echo nobody)
    chown "$owner" "$folder"
    as=(setpriv "--reuid=$owner" "--regid=$(id -gn "$owner")" --clear-groups)
fi
if [ ! -d "$data" ]; then
    password=$(head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n')
    (umask 077; printf '%s' "$password" > "$folder/password")
    [ ${#as[@]} -eq 0 ] || chown "$owner" "$folder/password"
    "${as[@]}" "$postgres/initdb" --pgdata="$data" --username=mlflow --pwfile="$folder/password" --auth=scram-sha-256 \
        --encoding=UTF8 --locale=C >"$folder/initdb.log"
fi
"${as[@]}" "$postgres/pg_ctl" --pgdata="$data" --log="$folder/postgres.log" --wait start \
    --options="-p $database_port -c listen_addresses=127.0.0.1 -c unix_socket_directories=''"
server=
finish() {
    if [ -n "$server" ]; then kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; fi
    "${as[@]}" "$postgres/pg_ctl" --pgdata="$data" --mode=fast --wait stop
}
trap finish EXIT
trap 'exit 143' TERM
trap 'exit 130' INT
export PGPASSWORD; PGPASSWORD=$(cat "$folder/password")  # psql and the driver read it; it is on no command line
psql=(psql --host=127.0.0.1 --port="$database_port" --username=mlflow)
if [ -z "$("${psql[@]}" --dbname=postgres -Atc "select 1 from pg_database where datname = 'mlflow'")" ]; then
    "${psql[@]}" --dbname=postgres --quiet -c 'create database mlflow'
fi
export MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false MLFLOW_DISABLE_TELEMETRY=true
"$bin/mlflow" server --host "$host" --port "$port" --workers "${WORKERS:-2}" \
    ${ALLOWED_HOSTS:+--allowed-hosts "$ALLOWED_HOSTS"} \
    --backend-store-uri "postgresql+psycopg2://mlflow@127.0.0.1:$database_port/mlflow" \
    --artifacts-destination "$artefacts" &
server=$!
wait "$server"
