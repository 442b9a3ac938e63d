//! The program itself, against a small server of threads: addresses of all kinds, both loops, signals.

mod server;

use flowtest_testkit::{wait_until, wait_until_or};
use serde_json::Value;
use server::serve;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::Ordering;
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
    assert_eq!(figures["interrupted"], false);
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
    assert_eq!(figures["interrupted"], true);
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

/// A server that fails in turn: of eight answers two are 503, one is 404, one is no HTTP; never two in a row.
fn failing() -> String {
    let (address, _) = server::serve_with("127.0.0.1", |number, token| {
        let (line, body) = match number % 8 {
            1 | 5 => ("HTTP/1.1 503 Busy", "no"),
            3 => ("HTTP/1.1 404 Not Found", "no"),
            7 => ("HTP/1.1 200 OK", "ok"),
            _ => ("HTTP/1.1 200 OK", "ok"),
        };
        format!("{line}\r\nContent-Length: 2\r\nToken: {token}\r\nVersion: v2\r\nFrom: ECS\r\n\r\n{body}")
    });
    address.to_string()
}

const EIGHTS: [&str; 6] = ["--requests", "80", "--connections", "1", "--warmup", "0s"];

#[test]
fn what_was_not_right_is_counted_by_its_cause_with_the_first_of_each_kind() {
    let url = failing();
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("r.html").display().to_string();
    let figures = json(&command(&[&[url.as_str(), "--report", &report], &EIGHTS[..4]].concat()).output().unwrap());
    let causes: Vec<(String, u64)> = figures["causes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|cause| (cause["cause"].as_str().unwrap().to_owned(), cause["count"].as_u64().unwrap()))
        .collect();
    assert_eq!(causes[0], ("status 503".to_owned(), 20), "{figures}");
    assert!(causes.contains(&("status 404".to_owned(), 10)), "{figures}");
    let malformed = causes.iter().find(|(cause, _)| cause.contains("does not begin with `HTTP/1.`")).unwrap();
    assert_eq!((malformed.1, causes.len()), (10, 3), "{figures}");
    let samples = figures["samples"].as_array().unwrap();
    let of = |kind: &str| samples.iter().find(|sample| sample["kind"] == kind).unwrap_or_else(|| panic!("{figures}"));
    assert_eq!(samples.len(), 2, "{figures}");
    assert!(of("status")["response"].as_str().unwrap().starts_with("HTTP/1.1 503 Busy"), "{figures}");
    assert!(of("malformed")["response"].as_str().unwrap().starts_with("HTP/1.1 200 OK"), "{figures}");
    assert!(of("status")["request"].as_str().unwrap().starts_with("GET / HTTP/1.1"), "{figures}");
    let page = std::fs::read_to_string(&report).unwrap();
    assert!(page.contains("status 503") && page.contains("HTP/1.1 200 OK"), "the report says it too");
    let program = env!("CARGO_BIN_EXE_flowtest-loadgen");
    let said = Command::new(program).arg("stress").arg(failing()).args(EIGHTS).output().unwrap();
    let said = String::from_utf8_lossy(&said.stdout);
    for part in ["20   status 503", "10   status 404", "first status of", "HTTP/1.1 503 Busy", "first malformed of"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn fewer_right_answers_than_asked_for_are_exit_code_1() {
    let url = failing();
    let asked =
        |least: &str| command(&[&[url.as_str(), "--min-verified", least], &EIGHTS[..4]].concat()).output().unwrap();
    let enough = asked("50%");
    assert!(matches!(enough.status.code(), Some(0 | 3)), "{enough:?}");
    let too_few = asked("50.1%");
    let said = String::from_utf8_lossy(&too_few.stderr);
    assert_eq!(too_few.status.code(), Some(1), "{said}");
    assert!(said.contains("40 of 80 requests were verified, which is 50.00 %"), "{said}");
}

#[test]
fn a_dead_address_of_a_name_gets_no_request_in_stress_and_run_as_where_it_is_not_let_in() {
    let port = honest("127.0.0.1");
    let hosts = ["--hosts", "two.test=127.0.0.1", "--hosts", "Two.test=127.0.0.2"];
    let url = format!("two.test:{port}");
    let dead = format!("of its 2 addresses nobody listens on 127.0.0.2:{port} (Connection refused");
    let flags = ["--rate", "100", "--duration", "1s", "--connections", "4"];
    let output = command(&[&[url.as_str()], &hosts[..], &flags].concat()).output().unwrap();
    let stress = json(&output);
    let told = |output: &Output| String::from_utf8_lossy(&output.stderr).contains(&dead);
    assert!(told(&output), "{output:?}");

    let folder = tempfile::tempdir().unwrap();
    let output = run_of_two(folder.path(), &url, "1s").args(hosts).output().unwrap();
    let run = json(&output);
    assert!(told(&output), "{output:?}");
    for figures in [&stress, &run] {
        assert_eq!(figures["requests"], 100, "{figures}");
        let (right, refused) = (figures["verified"].as_u64().unwrap(), figures["failed"]["refused"].as_u64().unwrap());
        assert!(right > 0 && refused == 0, "one of the two addresses is dead: {figures}");
    }
}

#[test]
fn an_address_that_comes_to_life_plays_the_rest_of_a_run() {
    let port = honest("127.0.0.1");
    let hosts = ["--hosts", "two.test=127.0.0.1", "--hosts", "two.test=127.0.0.2"];
    let folder = tempfile::tempdir().unwrap();
    let mut run = run_of_two(folder.path(), &format!("two.test:{port}"), "9s").args(hosts).spawn().unwrap();
    let mut said = BufReader::new(run.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(said.any(|line| line.contains(&format!("nobody listens on 127.0.0.2:{port}"))));
    let (_, late) = serve(&format!("127.0.0.2:{port}"), 0);
    let back = format!("127.0.0.2:{port} gave three answers with the right token");
    assert!(said.any(|line| line.contains(&back)), "the run is over, and nobody asked it again");
    said.for_each(drop);
    let figures = json(&run.wait_with_output().unwrap());
    assert_all_right(&figures, 900);
    assert!(late.load(Ordering::Relaxed) > 20, "it gets its part: {late:?}");
}

/// A `run` of a hundred requests a second to this address of the contestant `two`.
fn run_of_two(folder: &Path, url: &str, length: &str) -> Command {
    let file = folder.join("contest.toml");
    let contest = format!(
        "name = \"cup\"\n[[phase]]\nfor = \"{length}\"\nrate = 100\nconnections = 4\n[policy]\nallow = [\"127.0.0.0/8\"]\n\
         [[contestant]]\nname = \"two\"\nendpoint = \"{url}\"\n"
    );
    std::fs::write(&file, contest).unwrap();
    let mut run = Command::new(env!("CARGO_BIN_EXE_flowtest-loadgen"));
    run.arg("run").arg(&file).args(["--json", "-"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    run
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

/// Waits until a server has seen a request.
fn wait_for_request(requests: &std::sync::atomic::AtomicU64) {
    wait_until("a request", || (requests.load(std::sync::atomic::Ordering::Relaxed) > 0).then_some(()));
}

#[test]
fn a_signal_in_the_warm_up_says_that_nothing_was_counted() {
    let (address, requests) = server::serve("127.0.0.1", 0);
    let program = env!("CARGO_BIN_EXE_flowtest-loadgen");
    let mut command = Command::new(program);
    command.args(["stress", &address.to_string(), "--warmup", "60s", "--duration", "60s", "--connections", "1"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for_request(&requests);
    std::thread::sleep(std::time::Duration::from_millis(300));
    signal(&child, "-INT");
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("stopped in the warm-up, which takes 1m, before anything counted"), "{said}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("STOPPED before anything counted"), "{output:?}");
}

#[test]
fn a_signal_does_not_wait_for_servers_that_never_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = listener.local_addr().unwrap().to_string();
    let child = command(&[&url, "--timeout", "1h", "--duration", "1h", "--connections", "2"]).spawn().unwrap();
    // The first asks whether somebody listens.
    let mut held: Vec<_> = (0..3).map(|_| listener.accept().unwrap().0).collect();
    for stream in &mut held[1..] {
        stream.read_exact(&mut [0; 1]).unwrap();
    }
    signal(&child, "-TERM");
    let output = child.wait_with_output().unwrap();
    let figures: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    assert_eq!(figures["interrupted"], true, "{figures}");
    assert_eq!((&figures["failed"]["timeout"], &figures["failed"]["own_fault"]), (&0.into(), &2.into()), "{figures}");
    drop(held);
}

#[test]
fn a_hangup_leaves_a_whole_result_a_kill_leaves_none_and_nohup_stays_deaf() {
    let folder = tempfile::tempdir().unwrap();
    let start = |name: &str, prefix: &str| {
        let (address, requests) = server::serve("127.0.0.1", 0);
        let file = folder.path().join(name);
        let script = format!(
            "{prefix} exec {} stress {address} --duration 60s --warmup 0s --connections 1 --quiet --json {}",
            env!("CARGO_BIN_EXE_flowtest-loadgen"),
            file.display()
        );
        let child = Command::new("bash").args(["-c", &script]).spawn().unwrap();
        wait_for_request(&requests);
        std::thread::sleep(std::time::Duration::from_millis(300));
        (child, file, requests)
    };
    let read = |file: &std::path::Path| serde_json::from_slice::<Value>(&std::fs::read(file).unwrap()).unwrap();

    let (mut child, file, _) = start("hangup.json", "");
    signal(&child, "-HUP");
    assert!(matches!(child.wait().unwrap().code(), Some(0 | 3)));
    assert_eq!(read(&file)["interrupted"], true);

    let (mut child, file, _) = start("kill.json", "");
    signal(&child, "-KILL");
    child.wait().unwrap();
    assert!(!file.exists(), "no empty file");

    let (mut child, file, requests) = start("nohup.json", "trap '' HUP;");
    signal(&child, "-HUP");
    let before = requests.load(std::sync::atomic::Ordering::Relaxed);
    let since = || requests.load(std::sync::atomic::Ordering::Relaxed) - before;
    wait_until_or("a thousand requests more", || if since() < 1_000 { Err(since()) } else { Ok(()) });
    assert!(child.try_wait().unwrap().is_none(), "it goes on");
    signal(&child, "-TERM");
    assert!(matches!(child.wait().unwrap().code(), Some(0 | 3)));
    assert_eq!(read(&file)["interrupted"], true);
}

#[test]
fn a_summary_that_cannot_be_written_is_exit_code_1() {
    let url = format!("127.0.0.1:{}", honest("127.0.0.1"));
    for result in [&[][..], &["--json", "-"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flowtest-loadgen"));
        command.args(["stress", &url, "--requests", "10", "--warmup", "0s"]).args(result);
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let output = command.stdout(full).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{result:?}: {said}");
        assert!(said.contains("No space left"), "{result:?}: {said}");
    }
}

#[test]
fn what_the_kernel_has_beyond_the_floor_can_be_left_unused() {
    let url = format!("127.0.0.1:{}", honest("127.0.0.1"));
    for pipeline in ["1", "8"] {
        let without = ["--without", "no_sqarray,min_wait", "--pipeline", pipeline, "--requests", "400"];
        let figures = json(&command(&[&[url.as_str()], &without[..]].concat()).output().unwrap());
        assert_eq!(figures["features"], serde_json::json!(["recv_multishot", "buf_ring", "defer_taskrun"]));
        assert_eq!(figures["verified"], 400, "{figures}");
    }
    let refused = command(&[&url, "--without", "recv_multishot"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("write no_sqarray or min_wait"));
}
