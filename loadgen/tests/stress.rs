//! The program itself, against a small server of threads: addresses of all kinds, both loops, signals.

mod server;

use serde_json::Value;
use server::serve;
use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

fn honest(host: &str) -> u16 {
    serve(host, 0).0.port()
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flowtest-loadgen"));
    command.arg("stress").args(arguments).args(["--json", "-", "--cores", "0", "--warmup", "0s"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn json(output: &Output) -> Value {
    assert!(output.status.code().is_some_and(|code| code == 0 || code == 3), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn assert_all_right(figures: &Value, requests: u64) {
    assert_eq!(figures["requests"], requests, "{figures}");
    assert_eq!(figures["verified"], requests, "{figures}");
    assert_eq!(figures["points"], 200 * requests, "{figures}");
}

#[test]
fn addresses_names_and_ipv6_are_all_flooded() {
    let four = honest("127.0.0.1");
    let mut urls = vec![format!("127.0.0.1:{four}/a?b=c"), format!("http://localhost:{four}")];
    // Not every machine has IPv6 on its loopback.
    if TcpListener::bind("[::1]:0").is_ok() {
        urls.push(format!("[::1]:{}", honest("::1")));
    }
    for url in &urls {
        let figures = json(&command(&[url, "--requests", "500", "--connections", "4"]).output().unwrap());
        assert_all_right(&figures, 500);
    }
}

#[test]
fn several_urls_get_the_same_number_of_requests_each() {
    let urls: Vec<String> = (0..3).map(|_| format!("127.0.0.1:{}", honest("127.0.0.1"))).collect();
    let mut arguments: Vec<&str> = urls.iter().map(String::as_str).collect();
    arguments.extend(["--requests", "333", "--connections", "5", "--pipeline", "4"]);
    let figures = json(&command(&arguments).output().unwrap());
    assert_all_right(&figures, 999);
    for contestant in figures["contestants"].as_array().unwrap() {
        assert_all_right(contestant, 333);
    }
    assert_eq!(figures["rate_ratio"], Value::Null);
}

#[test]
fn an_open_loop_sends_what_the_plan_says() {
    let url = format!("127.0.0.1:{}", honest("127.0.0.1"));
    let figures = json(&command(&[&url, "--rate", "100..300", "--duration", "2s"]).output().unwrap());
    assert_eq!(figures["requests"], 400, "{figures}");
    assert!(figures["rate_ratio"].is_f64());
    let figures = json(&command(&[&url, "--rate", "500", "--requests", "250"]).output().unwrap());
    assert_eq!(figures["requests"], 250, "{figures}");
}

#[test]
fn every_key_that_tools_depend_on_is_there() {
    let url = format!("127.0.0.1:{}", honest("127.0.0.1"));
    let figures = json(&command(&[&url, "--requests", "100"]).output().unwrap());
    for key in "requests verified failed resent unsolicited points duration_s rate rate_ratio latency_us service_us \
                bytes connections pipeline cores features tier cpu workers"
        .split_whitespace()
    {
        assert!(figures.get(key).is_some(), "{key} is missing in {figures}");
    }
    for key in "token version from timeout refused reset malformed status missed own_fault".split_whitespace() {
        assert!(figures["failed"][key].is_u64(), "{key}");
    }
    for key in "p50 p90 p99 p999 max".split_whitespace() {
        assert!(figures["latency_us"][key].is_u64() && figures["service_us"][key].is_u64(), "{key}");
    }
    for key in "submissions completions enters rearms enobufs stale slow_parses".split_whitespace() {
        assert!(figures["workers"][0][key].is_u64(), "{key}");
    }
    assert!(figures["cpu"]["user_us_per_request"].is_f64() && figures["cpu"]["system_us_per_request"].is_f64());
}

#[test]
fn the_first_signal_ends_the_run_with_its_summary() {
    let url = format!("127.0.0.1:{}", honest("127.0.0.1"));
    let child: Child = command(&[&url, "--duration", "60s"]).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    let figures = json(&child.wait_with_output().unwrap());
    let requests = figures["requests"].as_u64().unwrap();
    assert!(requests > 0);
    assert_all_right(&figures, requests);
    assert!(figures["duration_s"].as_f64().unwrap() < 30.0);
}

#[test]
fn descriptors_are_raised_to_the_hard_limit_and_no_further() {
    let url = format!("127.0.0.1:{}", honest("127.0.0.1"));
    let limited = |limits: &str, connections: &str| {
        let program = env!("CARGO_BIN_EXE_flowtest-loadgen");
        let script =
            format!("{limits}; exec {program} stress {url} --requests 500 --connections {connections} --json -");
        Command::new("bash").args(["-c", &script]).output().unwrap()
    };
    assert_all_right(&json(&limited("ulimit -Sn 100", "200")), 500);
    let refused = limited("ulimit -n 100", "200");
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("264 file descriptors are needed") && said.contains("ulimit"), "{said}");
}
