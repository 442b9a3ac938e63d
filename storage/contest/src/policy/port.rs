//! Which ports a contest may flood: those on which people serve websites.

/// Ports from 1024 up at which something else than a website usually listens. A flood there would break what the
/// contest stands on, or a neighbour.
pub(super) const NAMED: &[(u16, &str)] = &[
    (1433, "SQL Server"),
    (1521, "Oracle"),
    (1883, "MQTT"),
    (2049, "NFS"),
    (2181, "ZooKeeper"),
    (2375, "Docker"),
    (2376, "Docker"),
    (2379, "etcd"),
    (2380, "etcd"),
    (3306, "MySQL"),
    (3389, "remote desktops"),
    (5432, "PostgreSQL"),
    (5672, "RabbitMQ"),
    (6379, "Redis"),
    (6380, "Redis"),
    (6443, "Kubernetes"),
    (8125, "StatsD"),
    (9090, "Prometheus"),
    (9092, "Kafka"),
    (9100, "the node exporter"),
    (9200, "Elasticsearch"),
    (9300, "Elasticsearch"),
    (10250, "the kubelet"),
    (11211, "memcached"),
    (16379, "Redis"),
    (26379, "Redis"),
    (27017, "MongoDB"),
];

/// Why a port is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closed {
    /// Below 1024, and neither 80 nor 443.
    System,
    /// What usually listens there.
    Named(&'static str),
}

pub(super) fn judge(port: u16) -> Result<(), Closed> {
    match port {
        80 | 443 => Ok(()),
        0..1024 => Err(Closed::System),
        _ => match NAMED.iter().find(|(named, _)| *named == port) {
            Some((_, service)) => Err(Closed::Named(service)),
            None => Ok(()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn websites_are_open_and_services_are_closed() {
        for open in [80, 443, 1024, 3000, 5000, 8000, 8080, 8443, 65535] {
            assert_eq!(judge(open), Ok(()), "{open}");
        }
        for closed in [0, 1, 22, 25, 79, 81, 442, 444, 1023] {
            assert_eq!(judge(closed), Err(Closed::System), "{closed}");
        }
        for (closed, service) in NAMED {
            assert_eq!(judge(*closed), Err(Closed::Named(service)));
        }
        let open = (0..=u16::MAX).filter(|port| judge(*port).is_ok()).count();
        assert_eq!(open, 2 + 65536 - 1024 - NAMED.len(), "and nothing else");
    }
}
