//! Hostile endpoints and addresses, each with the verdict that it must get and why.

use flowtest_contest::endpoint::{Endpoint, EndpointError};
use flowtest_contest::{Policy, PolicyError};
use std::collections::HashSet;
use std::net::IpAddr;

const CORPUS: &str = include_str!("corpus/endpoints.toml");

/// Rows of a table of the corpus: what is judged, the verdict, why.
fn rows(table: &str) -> Vec<[String; 3]> {
    let corpus: toml::Table = CORPUS.parse().expect("the corpus is TOML");
    let rows: Vec<[String; 3]> = corpus[table].clone().try_into().expect("three texts a row");
    let different: HashSet<&String> = rows.iter().map(|row| &row[0]).collect();
    assert_eq!(different.len(), rows.len(), "a row of {table} comes twice");
    assert!(rows.iter().all(|[_, _, why]| !why.is_empty()), "each row says why");
    rows
}

fn of_text(error: &EndpointError) -> &'static str {
    match error {
        EndpointError::Empty => "empty",
        EndpointError::Long => "long",
        EndpointError::Character(_) => "character",
        EndpointError::Scheme(_) => "scheme",
        EndpointError::Host(_) => "host",
        EndpointError::Userinfo => "userinfo",
        EndpointError::Fragment(_) => "fragment",
        EndpointError::Port(_) => "zero port",
        EndpointError::Percent(_) => "percent",
        EndpointError::Ambiguous(..) => "ambiguous",
        EndpointError::Dot(_) => "dot",
        EndpointError::Name(_) => "name",
        EndpointError::Syntax(..) => "syntax",
    }
}

fn of_policy(verdict: Result<(), PolicyError>) -> &'static str {
    match verdict {
        Ok(()) => "open",
        Err(PolicyError::SystemPort(_)) => "system port",
        Err(PolicyError::ServicePort { .. }) => "service port",
        Err(PolicyError::Never { .. }) => "never",
        Err(PolicyError::Denied { .. }) => "denied",
        Err(PolicyError::Closed { .. }) => "closed",
        Err(PolicyError::Carries { .. }) => "carries",
        Err(error) => panic!("no verdict on one address: {error}"),
    }
}

#[test]
fn every_hostile_endpoint_gets_its_verdict() {
    let policy = Policy::default();
    let mut wrong = Vec::new();
    for [text, verdict, why] in rows("endpoint") {
        let found = match text.parse::<Endpoint>() {
            Err(error) => {
                assert!(error.to_string().contains(": "), "{text:?}: no next step in {error}");
                of_text(&error).to_owned()
            }
            Ok(endpoint) => match of_policy(policy.judge_endpoint(&endpoint)) {
                "open" => endpoint.to_string(),
                closed => closed.to_owned(),
            },
        };
        if found != verdict {
            wrong.push(format!("{text:?} ({why}) is {found} and not {verdict}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_address_gets_its_verdict_without_a_policy_and_with_everything_allowed() {
    let nothing = Policy::default();
    let everything = Policy::ceiling("[policy]\nallow = [\"0.0.0.0/0\", \"::/0\"]").expect("a policy");
    for [address, verdict, why] in rows("address") {
        let ip: IpAddr = address.parse().unwrap_or_else(|error| panic!("{address}: {error}"));
        let verdicts = format!("{}, {}", of_policy(nothing.judge_ip(ip)), of_policy(everything.judge_ip(ip)));
        assert_eq!(verdicts, verdict, "{address}: {why}");
    }
}

#[test]
fn the_corpus_is_large_enough_to_mean_something() {
    let (endpoints, addresses) = (rows("endpoint").len(), rows("address").len());
    assert!(endpoints + addresses >= 200, "{endpoints} endpoints and {addresses} addresses");
}
