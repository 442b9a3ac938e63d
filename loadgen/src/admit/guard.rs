//! Which addresses a contest may flood: what the scoreboard's policy says, which the dashboard asks as well, within the
//! ceiling that this machine's own file sets.
//!
//! `stress` takes the operator's word for its URLs; a contest file may come from others.

use crate::admit::resolve::{Names, ResolveError, bounded};
use flowtest_contest::endpoint::Endpoint;
use flowtest_contest::{ContestError, Policy, PolicyError};
use flowtest_contract::text::shown;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// Why an endpoint may not be flooded, or a ceiling not be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    #[error("{endpoint}: {error}")]
    Policy { endpoint: String, error: PolicyError },
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    #[error("{path}: the policy file cannot be read ({error}): check its path and permissions")]
    Unreadable { path: String, error: String },
    #[error("{path}: {error}")]
    Ceiling { path: String, error: ContestError },
}

impl Denial {
    /// The same for a contestant, who can change no policy, and to whom this machine's ways are nothing.
    pub fn for_contestants(&self) -> String {
        match self {
            Denial::Policy { endpoint, error } => format!("{endpoint}: {}", error.for_contestant()),
            Denial::Resolve(error) => error.for_contestants(),
            Denial::Unreadable { .. } | Denial::Ceiling { .. } => {
                "the generator has no policy to go by: tell the organisers".to_owned()
            }
        }
    }
}

/// Reads this machine's own policy file: the `[policy]` of a contest file and nothing else.
pub fn ceiling(path: &Path) -> Result<Policy, Denial> {
    let shown = shown(path);
    let text = std::fs::read_to_string(path)
        .map_err(|error| Denial::Unreadable { path: shown.clone(), error: error.to_string() })?;
    Policy::ceiling(&text).map_err(|error| Denial::Ceiling { path: shown, error })
}

/// The addresses of an endpoint, all of which may be flooded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Sorted, at least one and at most [`ADDRESSES_MAX`](crate::admit::resolve::ADDRESSES_MAX).
    pub addresses: Vec<SocketAddr>,
    /// Further ones of the name, which get no request.
    pub unused: usize,
}

/// The addresses of an endpoint, all of which may be flooded. A name is not even looked up when its port is closed.
/// Waits at most for `timeout`.
pub fn admit(policy: &Policy, names: &Names, endpoint: &Endpoint, timeout: Duration) -> Result<Found, Denial> {
    let denied = |error| Denial::Policy { endpoint: endpoint.to_string(), error };
    policy.judge_endpoint(endpoint).map_err(denied)?;
    let addresses = names.addresses(endpoint, timeout)?;
    policy.judge_resolved(endpoint, &addresses).map_err(denied)?;
    let (addresses, unused) = bounded(addresses);
    Ok(Found { addresses, unused })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_port_is_refused_before_anybody_is_asked_for_the_name() {
        let names = Names::new(None, |_| panic!("nobody is to be asked"));
        let endpoint: Endpoint = "alice.test:22".parse().expect("an endpoint");
        let denial = admit(&Policy::default(), &names, &endpoint, Duration::ZERO).expect_err("closed").to_string();
        assert!(denial.starts_with("http://alice.test:22/: port 22 is below 1024"), "{denial}");
    }

    #[test]
    fn one_closed_address_closes_the_endpoint() {
        let names = Names::new(None, |_| Ok(vec![[8, 8, 8, 8].into(), [127, 0, 0, 9].into()]));
        let endpoint: Endpoint = "alice.test".parse().expect("an endpoint");
        let admit = |policy: &Policy| admit(policy, &names, &endpoint, Duration::from_secs(60));
        let denial = admit(&Policy::default()).expect_err("closed").to_string();
        assert!(denial.contains("127.0.0.9 is the generator's own machine"), "{denial}");
        assert!(denial.contains("allow in [policy]"), "for whoever writes one: {denial}");
        let told = admit(&Policy::default()).expect_err("closed").for_contestants();
        assert!(told.contains("ask the organisers") && !told.contains("[policy]"), "{told}");
        let open = Policy { allow: vec!["127.0.0.0/8".parse().expect("a network")], ..Policy::default() };
        assert_eq!(admit(&open).expect("open").addresses.len(), 2);
    }

    #[test]
    fn of_a_name_with_many_addresses_the_same_are_used_everywhere_and_the_others_are_counted() {
        let names = Names::new(None, |_| Ok((1..=70u8).rev().map(|last| [127, 0, 0, last].into()).collect()));
        let endpoint: Endpoint = "alice.test".parse().expect("an endpoint");
        let open = Policy { allow: vec!["127.0.0.0/8".parse().expect("a network")], ..Policy::default() };
        let found = admit(&open, &names, &endpoint, Duration::from_secs(60)).expect("open");
        assert_eq!((found.addresses.len(), found.unused), (64, 6));
        assert_eq!(found.addresses[63], SocketAddr::from(([127, 0, 0, 64], 80)));
    }

    #[test]
    fn a_ceiling_is_read_or_refused_with_a_sentence() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("policy.toml");
        let error = ceiling(&path).expect_err("missing").to_string();
        assert!(error.contains("cannot be read"), "{error}");
        std::fs::write(&path, "allow = 7\n").expect("written");
        assert!(ceiling(&path).is_err());
        std::fs::write(&path, "[policy]\nallow = [\"10.0.0.0/8\"]\n").expect("written");
        assert_eq!(ceiling(&path).expect("a policy").allow.len(), 1);
    }
}
