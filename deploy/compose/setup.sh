#!/bin/sh
# Makes what a pool of docker-compose.yml needs and nobody should have to make: passwords, the pool's private authority and
# its certificates, each as files in the volume of who reads them, readable by nobody else. What is there is kept;
# certificates that expire soon are renewed. The argument is a node's configuration.
set -eu
umask 077
configuration=$1
database=999 node=10001 balancer=99

password() { head -c 256 /dev/urandom | tr -dc 'A-Za-z0-9' | head -c 40; }

# give OWNER FILE: writes standard input to the file, whole or not at all, for this owner to read.
give() {
  cat >"$2.new"
  chown "$1:$1" "$2.new"
  chmod 0400 "$2.new"
  mv "$2.new" "$2"
}

# folder OWNER PATH...: folders that only this owner looks into.
folder() {
  owner=$1
  shift
  for path in "$@"; do
    mkdir -p "$path"
    chown "$owner:$owner" "$path"
    chmod 0700 "$path"
  done
}

folder "$database" /secrets/database
folder "$node" /secrets/node /secrets/node/tls /secrets/admin /secrets/s3 /objects
folder "$balancer" /secrets/balancer
folder 0 /authority

[ -s /authority/database-password ] || password | give 0 /authority/database-password
give "$database" /secrets/database/password </authority/database-password
give "$node" /secrets/node/database-password </authority/database-password

ucupdates certificates --folder /authority/tls --config "$configuration"
for file in ca.pem ecdsa.pem ecdsa.key rsa.pem rsa.key; do
  give "$node" "/secrets/node/tls/$file" <"/authority/tls/$file"
done
give "$node" /secrets/admin/ca.pem </authority/tls/ca.pem
give "$balancer" /secrets/balancer/ca.pem </authority/tls/ca.pem
cat /authority/tls/rsa.pem /authority/tls/rsa.key | give "$balancer" /secrets/balancer/legacy.pem

[ -s /authority/s3-secret ] || password | give 0 /authority/s3-secret
secret=$(cat /authority/s3-secret)
give "$node" /secrets/node/s3-credentials <<END
AWS_ACCESS_KEY_ID=ucupdates
AWS_SECRET_ACCESS_KEY=$secret
END
give "$node" /secrets/s3/s3.json <<END
{"identities": [{"name": "ucupdates", "actions": ["Admin", "Read", "Write", "List"],
  "credentials": [{"accessKey": "ucupdates", "secretKey": "$secret"}]}]}
END
echo "passwords and certificates are there"
