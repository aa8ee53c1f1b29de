#!/bin/sh
# Brings the database to the program's version, and lets the first administrator in: their token becomes the profile that
# `docker-compose run --rm admin ...` uses. What is there is kept. The argument is a node's configuration.
set -eu
umask 077
configuration=$1
profile=/secrets/admin/profile.toml

ucupdates migrate --config "$configuration"
[ ! -s "$profile" ] || exit 0
# A start that was cut off after the token was made has lost it: then the next one has another name.
token=$(ucupdates first-token admin --config "$configuration") ||
  token=$(ucupdates first-token "admin-$(date -u +%Y%m%d%H%M%S)" --config "$configuration")
cat >"$profile.new" <<END
server = "https://node:9443"
token = "$token"
ca_file = "/run/secrets/ucupdates/ca.pem"
END
mv "$profile.new" "$profile"
echo "the first administrator's token is there"
