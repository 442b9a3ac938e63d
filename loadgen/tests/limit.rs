//! `limit`, the program itself, against a small server of threads. What a server with a capacity is found to hold is measured in
//! the plays of `bench`, which have the machine for themselves.

mod server;

use serde_json::Value;
use server::serve;
use std::process::{Command, Output};

fn limit(url: &str, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flowtest-loadgen"));
    command.args(["limit", url, "--cores", "0", "--hold", "300ms", "--timeout", "300ms"]).args(more);
    command.output().expect("it runs")
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[test]
fn a_server_that_holds_the_most_that_is_asked_is_not_broken() {
    let url = format!("127.0.0.1:{}", serve("127.0.0.1", 0).0.port());
    let folder = tempfile::tempdir().expect("a folder");
    let page = folder.path().join("limit.html");
    let page = page.to_str().expect("a path");
    let output = limit(&url, &["--start", "5", "--max", "10", "--step", "x2", "--json", "-", "--report", page]);
    let result = json(&output);
    // On a machine that is too slow for ten requests a second it would say so.
    assert!(
        output.status.code() == Some(0) && result["unbroken"] == "max" || result["unbroken"] == "generator",
        "{output:?}"
    );
    if result["unbroken"] == "max" {
        assert_eq!((&result["holds"], &result["breaks_at"]), (&Value::from(10), &Value::Null), "{result}");
    }
    let steps = result["steps"].as_array().expect("steps");
    assert!(steps[0]["rate"] == 5 && steps.iter().all(|step| step["verified"] == step["due"]), "{result}");
    assert!(std::fs::read_to_string(page).expect("a page").contains("<circle"));
}

#[test]
fn a_server_that_answers_wrongly_holds_nothing() {
    let url = format!("127.0.0.1:{}", serve("127.0.0.1", 0).0.port());
    // It answers as ECS, and EC2 is asked for.
    let output = limit(&url, &["--start", "2", "--expect-from", "EC2", "--json", "-"]);
    let result = json(&output);
    if result["unbroken"] != "generator" {
        assert_eq!(
            (&result["holds"], &result["breaks_at"], &result["breaks_by"]),
            (&Value::from(0), &Value::from(1), &Value::from("failed_by_verified"))
        );
        assert_eq!(output.status.code(), Some(0));
        let told = limit(&url, &["--start", "1", "--expect-from", "EC2"]);
        let text = String::from_utf8_lossy(&told.stdout);
        assert!(text.contains("FAILED: too few are verified") && text.contains("holds no rate"), "{text}");
    }
}

#[test]
fn with_few_descriptors_it_climbs_with_as_many_connections_as_there_may_be() {
    let url = format!("127.0.0.1:{}", serve("127.0.0.1", 0).0.port());
    // The highest step wants 500 connections, and there are 200 descriptors in all.
    let program = format!(
        "ulimit -n 200; exec {} limit {url} --cores 0 --hold 300ms --timeout 300ms --start 5 --max 2000 --step x10 --json -",
        env!("CARGO_BIN_EXE_flowtest-loadgen")
    );
    let output = Command::new("sh").args(["-c", &program]).output().expect("it runs");
    let result = json(&output);
    let most = result["connections_most"].as_u64().expect("a number");
    assert!((16..=136).contains(&most), "{result}");
    assert!(!result["steps"].as_array().expect("steps").is_empty(), "{result}");
}

#[test]
fn contradictions_are_told_before_anything_is_sent() {
    // (flags, part of the sentence)
    let cases: [(&[&str], &str); 7] = [
        (&["--hold", "100ms"], "is over before an exchange of 300ms can fail"),
        (&["--p99", "301ms"], "within a timeout of 300ms no answer takes 301ms"),
        (&["--start", "20", "--max", "10"], "may not go above 10/s"),
        (&["--step", "x1"], "x1.25"),
        (&["--verified", "101%"], "in percent"),
        (&["--right", "101%"], "in percent"),
        (&["--report", "-"], "--report wants a file"),
    ];
    for (flags, part) in cases {
        let output = Command::new(env!("CARGO_BIN_EXE_flowtest-loadgen"))
            .args(["limit", "127.0.0.1:1", "--timeout", "300ms"])
            .args(flags)
            .output()
            .expect("it runs");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && text.contains(part), "{flags:?}: {output:?}");
    }
}
