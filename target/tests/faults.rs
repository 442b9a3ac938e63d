//! The score computed from what the target says it injected is the score that a strict client sees.

mod common;

use common::{Client, DRIVERS, Failure, Response, Target, token};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What one request was worth, by the default rules: +-100 token, +-50 version, +-50 from, -200 failed.
fn points(result: &Result<Response, Failure>, token: &str) -> i64 {
    let Some(response) = result.as_ref().ok().filter(|response| response.status == 200) else { return -200 };
    let judge = |right: bool, points: i64| if right { points } else { -points };
    judge(response.header("token") == Some(token), 100)
        + judge(response.header("version") == Some("v2"), 50)
        + judge(response.header("from") == Some("ECS"), 50)
}

/// The same, from what the target counted.
fn points_of(summary: &Value) -> i64 {
    let fault = |name: &str| summary["faults"][name].as_i64().expect("a count");
    let sum = |names: &[&str]| names.iter().map(|name| fault(name)).sum::<i64>();
    200 * summary["tokens"].as_i64().expect("tokens")
        - 400 * sum(&["reset", "silence", "garbage", "status", "endless_head"])
        - 200 * sum(&["wrong_token", "missing_token"])
        - 100 * sum(&["stale_version", "missing_version", "stale_from", "missing_from"])
}

#[test]
fn every_fault_is_seen_exactly_as_often_as_it_was_counted() {
    let spec = "wrong_token:10,missing_token:11,stale_version:7,missing_version:9,stale_from:13,missing_from:17,\
                delay:19=20ms,reset:23,silence:151,garbage:29,status:31,endless_head:53";
    for driver in DRIVERS {
        let target = Target::start(&["--driver", driver, "--faults", spec]);
        let mut seen: BTreeMap<&str, u64> = BTreeMap::new();
        let (mut score, mut client) = (0, target.client());
        for number in 0..600 {
            let token = token(number);
            // Long, so that only what never comes is silence on a machine that stands still for a while.
            client.read_timeout(Duration::from_secs(2));
            let sent = Instant::now();
            let result = client.get(&token);
            score += points(&result, &token);
            if let Some(fault) = name(&result, &token, sent.elapsed()) {
                *seen.entry(fault).or_default() += 1;
            }
            if result.is_err() {
                client = target.client();
            }
        }
        let summary = target.stop();
        assert_eq!(summary["tokens"], 600, "{driver}");
        // Those of handshakes are `tls.rs`'s.
        for (fault, count) in
            summary["faults"].as_object().expect("faults").iter().filter(|(name, _)| !name.starts_with("tls_"))
        {
            // A delay is the only one that cannot be told for certain: a busy machine delays too.
            let seen = seen.get(fault.as_str()).copied().unwrap_or(0);
            let told = count.as_u64().expect("a count");
            assert!(told > 0, "{driver}: {fault} was never injected");
            assert!(seen == told || (fault == "delay" && seen >= told), "{driver}: {fault}: saw {seen}, told {told}");
        }
        assert_eq!(score, points_of(&summary), "{driver}");
    }
}

/// Which fault a strict client sees in one exchange.
fn name(result: &Result<Response, Failure>, token: &str, took: Duration) -> Option<&'static str> {
    let response = match result {
        Ok(response) if response.status == 500 => {
            assert_eq!(response.header("token"), Some(token));
            return Some("status");
        }
        Ok(response) => response,
        Err(Failure::Reset) => return Some("reset"),
        Err(Failure::Malformed) => return Some("garbage"),
        Err(Failure::TooLong) => return Some("endless_head"),
        Err(Failure::Timeout) => return Some("silence"),
        Err(other @ (Failure::Closed | Failure::Cut)) => panic!("nothing closes like that: {other:?}"),
    };
    match (response.header("token"), response.header("version"), response.header("from")) {
        (None, ..) => Some("missing_token"),
        (Some(other), ..) if other != token => Some("wrong_token"),
        (_, None, _) => Some("missing_version"),
        (_, Some(other), _) if other != "v2" => Some("stale_version"),
        (.., None) => Some("missing_from"),
        (.., Some(other)) if other != "ECS" => Some("stale_from"),
        _ if took >= Duration::from_millis(20) => Some("delay"),
        _ => None,
    }
}

/// Sends 8 at once; what stands behind the end of a connection is sent again on a new one, whatever it was worth to a
/// judge: so each killing fault is seen once, and every request is counted once.
#[test]
fn with_pipelining_each_killing_fault_costs_exactly_one_request() {
    for driver in DRIVERS {
        let target =
            Target::start(&["--driver", driver, "--faults", "reset:37,garbage:41,endless_head:43,wrong_token:5"]);
        let mut waiting: Vec<String> = (0..800).map(token).collect();
        waiting.reverse();
        let (mut score, mut failed) = (0, 0);
        while !waiting.is_empty() {
            let batch: Vec<String> = waiting.split_off(waiting.len().saturating_sub(8)).into_iter().rev().collect();
            let mut client: Client = target.client();
            client.send(batch.iter().map(|token| common::get(token)).collect::<String>().as_bytes());
            for (index, token) in batch.iter().enumerate() {
                let result = client.response(false);
                assert!(!matches!(result, Err(Failure::Closed | Failure::Timeout)), "{driver}: {result:?}");
                score += points(&result, token);
                if result.is_err() {
                    failed += 1;
                    waiting.extend(batch[index + 1..].iter().rev().cloned());
                    break;
                }
            }
        }
        let summary = target.stop();
        let fault = |name: &str| summary["faults"][name].as_u64().expect("a count");
        assert_eq!(summary["tokens"], 800, "{driver}");
        assert_eq!(failed, fault("reset") + fault("garbage") + fault("endless_head"), "{driver}");
        assert_eq!(score, points_of(&summary), "{driver}");
    }
}

#[test]
fn a_reset_comes_behind_the_first_byte_so_that_nobody_may_send_again() {
    for driver in DRIVERS {
        let target = Target::start(&["--driver", driver, "--faults", "reset:2"]);
        for number in 0..20 {
            let mut client = target.client();
            assert!(client.get(&token(number)).is_ok());
            // Not Closed, which is what ends before the first byte; not Cut, which is FIN.
            assert_eq!(client.get(&token(number)), Err(Failure::Reset), "{driver}");
        }
    }
}

#[test]
fn requests_without_a_token_and_health_are_never_faulted() {
    let target = Target::start(&["--faults", "reset:1"]);
    for _ in 0..5 {
        let mut client = target.client();
        client.send(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n");
        assert_eq!(client.response(false).map(|response| response.status), Ok(200));
        assert_eq!(target.health()["tokens"], 0);
    }
}

#[test]
fn one_counter_serves_all_workers() {
    let target = Target::start(&["--faults", "wrong_token:3"]);
    // Many connections, so that the kernel spreads them over the workers.
    let wrong = (0..90).filter(|number| points(&target.client().get(&token(*number)), &token(*number)) < 200).count();
    assert_eq!(wrong, 30);
    assert_eq!(target.stop()["faults"]["wrong_token"], 30);
}
