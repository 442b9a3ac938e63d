//! What a run leaves to read: the program itself with `--report`, `--ndjson` and `--metrics`, against servers of threads.

mod server;

use flowtest_testkit::scrape;
use serde_json::Value;
use server::serve;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::Ordering;

/// The address of a server of which every `wrong`-th From is not right.
fn start(wrong: u64) -> String {
    serve("127.0.0.1", wrong).0.to_string()
}

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flowtest-loadgen"));
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Without a plan, 0.99 of which a busy machine may miss, the exit code would always be 0.
fn assert_ran(output: &Output) {
    assert!(output.status.code().is_some_and(|code| code == 0 || code == 3), "{output:?}");
}

fn path(dir: &Path, name: &str) -> String {
    dir.join(name).display().to_string()
}

fn lines(text: &[u8]) -> Vec<Value> {
    text.split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| {
            serde_json::from_slice(line).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(line)))
        })
        .collect()
}

fn sum(lines: &[Value], pointer: &str) -> u64 {
    lines
        .iter()
        .map(|line| line.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("{pointer}: {line}")))
        .sum()
}

/// The address that the program says its metrics are on.
fn metrics_address(child: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(child.stderr.take().expect("piped")).read_line(&mut line).expect("it says so");
    let address =
        line.trim().strip_prefix("flowtest-loadgen: metrics on http://").and_then(|line| line.strip_suffix("/metrics"));
    address.unwrap_or_else(|| panic!("{line}")).to_owned()
}

#[test]
fn report_lines_and_metrics_tell_of_the_same_run() {
    let dir = tempfile::tempdir().unwrap();
    let (honest, wrong) = (start(0), start(10));
    let (report, ndjson, json) = (path(dir.path(), "r.html"), path(dir.path(), "r.ndjson"), path(dir.path(), "r.json"));
    let mut child = program(&["stress", &honest, &wrong, "--rate", "200", "--connections", "4"])
        .args(["--duration", "3s", "--warmup", "1s", "--cores", "0", "--metrics", "127.0.0.1:0"])
        .args(["--report", &report, "--ndjson", &ndjson, "--json", &json])
        .spawn()
        .unwrap();
    let address = metrics_address(&mut child);
    std::thread::sleep(std::time::Duration::from_millis(2_500));
    let scraped = scrape(&address);
    let output = child.wait_with_output().unwrap();
    assert_ran(&output);

    let summary: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    assert_eq!(summary["requests"], 1_200, "{summary}");
    for key in ["invalid_s", "saturated_s"] {
        assert!(summary[key].is_u64() && summary["contestants"][0][key].is_u64(), "{key}: {summary}");
    }

    let seconds = lines(&std::fs::read(&ndjson).unwrap());
    assert!(seconds.len() >= 4, "{seconds:?}");
    for (number, second) in seconds.iter().enumerate() {
        assert_eq!(second["second"], number, "one line per second");
        assert_eq!(second["scored"].as_bool().unwrap(), (1..4).contains(&number), "{second}");
        assert!(second["utc"].as_str().unwrap().ends_with('Z') && second["busy"].is_f64(), "{second}");
    }
    // All that came due, also in the second of warm-up; what is right and wrong adds up as well.
    assert_eq!(sum(&seconds, "/all/due"), 1_600);
    assert_eq!(sum(&seconds, "/contestants/0/due"), 800);
    assert_eq!(sum(&seconds, "/all/answered"), sum(&seconds, "/all/right") + sum(&seconds, "/all/wrong/from"));
    assert_eq!(sum(&seconds, "/contestants/0/wrong/from"), 0);
    assert_eq!(sum(&seconds, "/contestants/1/wrong/from"), sum(&seconds, "/contestants/1/answered") / 10);

    assert!(scraped.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4"), "{scraped}");
    for name in [&honest, &wrong] {
        let right =
            format!("flowtest_requests_total{{contestant=\"http://{name}/\",outcome=\"right\",scored=\"true\"}} ");
        let line =
            scraped.lines().find(|line| line.starts_with(&right)).unwrap_or_else(|| panic!("{right}: {scraped}"));
        let count: u64 = line[right.len()..].parse().unwrap();
        assert!((1..=600).contains(&count), "{line}");
    }
    assert!(
        scraped.contains("\nflowtest_rate_ratio ") && scraped.contains("\nflowtest_worker_busy_ratio "),
        "{scraped}"
    );

    let page = std::fs::read_to_string(&report).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.trim_end().ends_with("</html>"));
    for part in ["2 endpoints", "Standings", "What was not right", "1,200", "--metrics 127.0.0.1:0", "not scored"] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("<script"));

    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("scored seconds") && said.contains("rate_ratio"), "{said}");
}

#[test]
fn a_closed_loop_has_no_rate_ratio_and_a_validity_of_its_own() {
    let server = start(0);
    let output = program(&["stress", &server, "--requests", "500", "--warmup", "0s", "--cores", "0", "--ndjson", "-"])
        .output()
        .unwrap();
    assert_ran(&output);
    assert!(output.stderr.is_empty(), "no terminal, no live view: {output:?}");
    let seconds = lines(&output.stdout);
    assert_eq!(sum(&seconds, "/all/verified"), 500);
    // The names of 0.1 say the same until 0.3.
    assert_eq!(sum(&seconds, "/all/right"), 500);
    let agrees =
        |second: &Value| second["all"]["valid"].as_bool() == second["all"]["saturated"].as_bool().map(|is| !is);
    assert!(seconds.iter().all(agrees), "{seconds:?}");
    assert!(
        seconds.iter().all(|second| second["all"]["rate_ratio"].is_null() && second["all"]["saturated"].is_boolean())
    );
}

#[test]
fn quiet_writes_files_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let (server, report) = (start(0), path(dir.path(), "r.html"));
    let output = program(&["stress", &server, "--requests", "100", "--warmup", "0s", "--cores", "0", "--quiet"])
        .args(["--metrics", "127.0.0.1:0", "--report", &report])
        .output()
        .unwrap();
    assert_ran(&output);
    assert!(output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
    assert!(std::fs::read_to_string(&report).unwrap().contains("Closed loop"));
}

#[test]
fn what_cannot_be_written_is_refused_before_anybody_is_flooded() {
    let dir = tempfile::tempdir().unwrap();
    let (address, requests) = serve("127.0.0.1", 0);
    let (nowhere, taken) = (path(dir.path(), "no/folder/x"), TcpListener::bind("127.0.0.1:0").unwrap());
    let taken = taken.local_addr().unwrap().to_string();
    // (flags, exit code, part of the refusal)
    let table: [(&[&str], i32, &str); 6] = [
        (&["--report", &nowhere], 1, "cannot be written"),
        (&["--ndjson", &nowhere], 1, "cannot be written"),
        (&["--report", "-"], 2, "wants a file"),
        (&["--json", "-", "--ndjson", "-"], 2, "both want standard output"),
        (&["--metrics", "somewhere"], 2, "invalid socket address"),
        (&["--metrics", &taken], 1, "cannot be taken"),
    ];
    for (flags, code, part) in table {
        let output = program(&["stress", &address.to_string(), "--cores", "0"]).args(flags).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{flags:?}: {said}");
        assert!(said.contains(part), "{flags:?}: {said}");
        assert!(output.stdout.is_empty(), "{output:?}");
    }
    assert_eq!(requests.load(Ordering::Relaxed), 0, "it was left alone");
}

#[test]
fn a_contest_leaves_the_same_with_its_deadlines() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(0);
    let contest = format!(
        "name = \"finals\"\nstart = \"now\"\n[deadlines]\nversion = \"+1s\"\n[rules]\ngrace = \"5s\"\n[[phase]]\nfor = \"2s\"\n\
         rate = 100\nconnections = 4\n[[contestant]]\nname = \"alice\"\nendpoint = \"{server}\"\n[policy]\nallow = [\"127.0.0.0/8\"]\n"
    );
    let (file, report, ndjson) = (path(dir.path(), "c.toml"), path(dir.path(), "r.html"), path(dir.path(), "r.ndjson"));
    std::fs::write(&file, contest).unwrap();
    let output =
        program(&["run", &file, "--cores", "0", "--report", &report, "--ndjson", &ndjson, "--metrics", "127.0.0.1:0"])
            .output()
            .unwrap();
    assert_ran(&output);
    assert_eq!(sum(&lines(&std::fs::read(&ndjson).unwrap()), "/contestants/0/due"), 200);
    let page = std::fs::read_to_string(&report).unwrap();
    assert!(page.contains("<h1><bdi>finals</bdi></h1>") && page.contains("class=\"mark"), "the deadline is marked");
    assert!(page.contains("v1, then v2 from"));
}
