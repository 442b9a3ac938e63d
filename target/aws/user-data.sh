#!/bin/bash
# Makes a contestant of a fresh Amazon Linux 2023, Ubuntu 24.04 or Debian 12: paste it into the field "User data" of the
# console's launch page (Advanced details), and open port 80 to the generators. Half a minute after the start it answers.
#
# nginx alone, as it stands; the reference server when PROGRAM_URL says where your organiser's flowtest-target lies for
# this processor, and PROGRAM_SHA256 its sum. CAPACITY requests a second are answered; above them answers get slow, then fail.
PROGRAM_URL=''
PROGRAM_SHA256=''
CAPACITY='500'
VERSION='v1'
FROM='EC2'
TEAM=''
# What follows is for machines; target/aws/ec2.yml has the same.
set -euo pipefail
say() { echo "flowtest: $*" >&2; }

fetch_program() {
    local program=/usr/local/bin/flowtest-target try
    for try in 1 2 3 4 5; do
        if curl --fail --silent --show-error --location --max-time 60 --output "$program.new" "$PROGRAM_URL"; then break; fi
        if [ "$try" = 5 ]; then say "$PROGRAM_URL cannot be fetched: does its address open in a browser?"; return 1; fi
        sleep 3
    done
    if ! echo "$PROGRAM_SHA256  $program.new" | sha256sum --check --status; then
        say "$PROGRAM_URL has the sum $(sha256sum < "$program.new" | cut -d ' ' -f 1), and not $PROGRAM_SHA256: ask your organiser"
        return 1
    fi
    chmod 0755 "$program.new"
    mv "$program.new" "$program"
}

serve_program() {
    cat > /etc/systemd/system/flowtest-target.service <<UNIT
[Unit]
Description=Flow Test: reference server
After=network-online.target
Wants=network-online.target

[Service]
ExecStart=/usr/local/bin/flowtest-target
Environment=FLOWTEST_TARGET_LISTEN=0.0.0.0:80
Environment=FLOWTEST_TARGET_VERSION=$VERSION
Environment=FLOWTEST_TARGET_FROM=$FROM
Environment=FLOWTEST_TARGET_CAPACITY=$CAPACITY
${TEAM:+Environment=FLOWTEST_TARGET_TEAM=$TEAM}
Restart=always
RestartSec=1
DynamicUser=yes
AmbientCapabilities=CAP_NET_BIND_SERVICE
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
LimitNOFILE=1048576
LimitMEMLOCK=infinity

[Install]
WantedBy=multi-user.target
UNIT
    systemctl daemon-reload
    systemctl enable flowtest-target
    systemctl restart flowtest-target
}

install_nginx() {
    if command -v nginx >/dev/null; then return; fi
    if command -v dnf >/dev/null; then
        dnf install --assumeyes --quiet nginx
    else
        export DEBIAN_FRONTEND=noninteractive
        apt-get -o DPkg::Lock::Timeout=300 update --quiet
        apt-get -o DPkg::Lock::Timeout=300 install --yes --quiet --no-install-recommends nginx-light
    fi
}

serve_nginx() {
    mkdir -p /srv/flowtest
    echo "I am here." > /srv/flowtest/answer
    cat > /etc/nginx/nginx.conf <<NGINX
user $(id -un www-data 2>/dev/null || echo nginx);
pid /run/nginx.pid;
worker_processes auto;
worker_rlimit_nofile 65536;
events { worker_connections 16384; }
http {
    access_log off;
    keepalive_timeout 120s;
    keepalive_requests 1000000;
    # One bucket for everybody: above the rate a request waits for its turn, and when a second of them waits it fails.
    limit_req_zone \$server_port zone=capacity:1m rate=${CAPACITY}r/s;
    limit_req_status 503;
    server {
        listen 80 default_server backlog=16384;
        root /srv/flowtest;
        location = /healthz { return 200; }
        location / {
            limit_req zone=capacity burst=$CAPACITY;
            add_header Token \$http_token;
            add_header Version $VERSION;
            add_header From $FROM;
            ${TEAM:+add_header Team $TEAM;}
            try_files /answer =404;
        }
    }
}
NGINX
    nginx -t
    systemctl enable nginx
    systemctl restart nginx
}

if [ -n "$PROGRAM_URL" ]; then
    fetch_program
    serve_program
else
    install_nginx
    serve_nginx
fi
say "ready: version $VERSION, from $FROM, $CAPACITY requests a second"
