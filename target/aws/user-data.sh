#!/bin/bash
# Makes a contestant of a fresh Amazon Linux 2023, Ubuntu 24.04 or Debian 12: paste it into the field "User data" of the
# console's launch page (Advanced details), and open port 80 to the generators. Half a minute after the start it answers.
#
# nginx alone, as it stands; the reference server when PROGRAM_URL says where your organiser's flowtest-target lies for
# this processor, and PROGRAM_SHA256 its sum. CAPACITY requests a second are answered; above them answers get slow, then fail.
# VERSION and FROM are a value, or v1,v2@2026-12-01T10:20:00Z (EC2,ECS@...): the second one from that instant on.
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

# nginx knows no time: what the headers say is written to a file of its own at each start, and by a timer at each instant.
flip_nginx() {
    local word calendar=""
    for word in "$VERSION" "$FROM"; do
        case $word in
            *,*@[0-9]*T*) calendar+=$(date --utc --date "${word#*@}" '+OnCalendar=%F %T UTC')$'\n' ;;
            *[,@]*) say "$word is neither a value nor two with an instant, as in v1,v2@2026-12-01T10:20:00Z"; return 1 ;;
        esac
    done
    cat > /usr/local/sbin/flowtest-flip <<FLIP
#!/bin/bash
set -euo pipefail
VERSION='$VERSION' FROM='$FROM'
FLIP
    cat >> /usr/local/sbin/flowtest-flip <<'FLIP'
# v1,v2@2026-12-01T10:20:00Z is v1 before the instant and v2 from it on; one word is itself.
due() {
    local after=${1#*,}
    case $1 in
        *@*) if [ "$(date +%s)" -lt "$(date --date "${1#*@}" +%s)" ]; then echo "${1%%,*}"; else echo "${after%%@*}"; fi ;;
        *) echo "$1" ;;
    esac
}
echo "add_header Version $(due "$VERSION"); add_header From $(due "$FROM");" > /etc/nginx/flowtest-headers
if systemctl is-active --quiet nginx; then nginx -s reload; fi
FLIP
    chmod 0755 /usr/local/sbin/flowtest-flip
    cat > /etc/systemd/system/flowtest-flip.service <<'UNIT'
[Unit]
Description=Flow Test: headers of nginx
Before=nginx.service

[Service]
Type=oneshot
ExecStart=/usr/local/sbin/flowtest-flip

[Install]
WantedBy=multi-user.target
UNIT
    cat > /etc/systemd/system/flowtest-flip.timer <<UNIT
[Unit]
Description=Flow Test: when the headers of nginx change

[Timer]
${calendar}AccuracySec=100ms

[Install]
WantedBy=timers.target
UNIT
    /usr/local/sbin/flowtest-flip
    systemctl daemon-reload
    systemctl enable flowtest-flip.service
    if [ -n "$calendar" ]; then systemctl enable --now flowtest-flip.timer; fi
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
            include /etc/nginx/flowtest-headers;
            ${TEAM:+add_header Team $TEAM;}
            try_files /answer =404;
        }
    }
}
NGINX
    flip_nginx
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
