//! Exact scores: what a contestant's faults cost is known beforehand, to the last point.

use crate::stage::Stage;
use flowtest_bench::compare::servers::{NginxOptions, nginx};
use flowtest_bench::contest_box::Injected;
use flowtest_contract::Rules;
use std::process::Command;
use std::time::Duration;

#[test]
fn an_honest_target_gets_200_for_each_request() {
    let stage = Stage::new().contestant("honest", &[]);
    let tally = stage.flood(20_000, &["--connections", "16"]).of(&stage.target("honest").url());
    assert_eq!(tally.due, 20_000);
    assert_eq!(tally.points(&Rules::default()), 20_000 * 200);
    stage.assert_exact("honest", &tally);
}

#[test]
fn so_it_does_with_sixteen_requests_in_flight_on_each_connection() {
    let stage = Stage::new().contestant("honest", &[]);
    let tally = stage.flood(50_000, &["--connections", "8", "--pipeline", "16"]).of(&stage.target("honest").url());
    assert_eq!(tally.points(&Rules::default()), 50_000 * 200);
}

#[test]
fn each_fault_costs_exactly_what_the_rules_say() {
    let faults = [
        "wrong_token:7",
        "missing_token:7",
        "stale_version:9",
        "missing_version:9",
        "stale_from:11",
        "missing_from:11",
        "delay:50=20ms", // slow, and right
        "reset:40",
        "garbage:40",
        "endless_head:40",
        "status:40=503",
        "silence:200",
    ];
    for fault in faults {
        let stage = Stage::new().contestant("flawed", &["--faults", fault]);
        let tally = stage.flood(1_000, &["--connections", "8", "--timeout", "400ms"]).of(&stage.target("flawed").url());
        let injected = stage.target("flawed").injected().expect("it tells");
        assert!(injected.0.values().sum::<u64>() > 0, "{fault} never happened");
        stage.assert_exact("flawed", &tally);
    }
}

#[test]
fn many_faults_at_once_add_up() {
    let faults = "wrong_token:5,missing_version:7,missing_from:11,status:13,garbage:17,reset:19";
    let stage = Stage::new().contestant("flawed", &["--faults", faults]).contestant("honest", &[]);
    let scores = stage.flood(5_000, &["--connections", "16"]);
    for name in ["flawed", "honest"] {
        stage.assert_exact(name, &scores.of(&stage.target(name).url()));
    }
}

#[test]
fn a_target_that_is_on_the_wrong_side_of_both_deadlines_earns_nothing() {
    let stage = Stage::new().contestant("late", &["--version", "v1", "--from", "EC2"]);
    let tally = stage.flood(1_000, &[]).of(&stage.target("late").url());
    // The token is right, +100; Version and From are wrong, -50 each.
    assert_eq!((tally.token_right, tally.version_wrong, tally.from_wrong), (1_000, 1_000, 1_000));
    assert_eq!(tally.points(&Rules::default()), 0);
}

#[test]
fn nginx_that_closes_every_thousand_requests_loses_no_point() {
    let stage = Stage::new();
    let server = nginx(0, stage.folder(), None, &NginxOptions::default()).unwrap_or_else(|error| panic!("{error}"));
    let stage = stage.stranger(&server.url);
    let tally = stage.flood(20_000, &["--connections", "4"]).of(&server.url);
    assert_eq!(Injected::default().differences(&tally), Vec::<String>::new(), "{tally:?}");
    assert_eq!(tally.points(&Rules::default()), 20_000 * 200);
}

#[test]
fn nginx_that_closes_every_thousand_requests_loses_no_point_with_requests_in_flight_behind() {
    let stage = Stage::new();
    let server = nginx(0, stage.folder(), None, &NginxOptions::default()).unwrap_or_else(|error| panic!("{error}"));
    let stage = stage.stranger(&server.url);
    let tally = stage.flood(20_000, &["--connections", "4", "--pipeline", "8"]).of(&server.url);
    assert_eq!(tally.points(&Rules::default()), 20_000 * 200, "{tally:?}");
}

const PYTHON: &str = r#"
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Contestant(BaseHTTPRequestHandler):  # speaks HTTP/1.0 and closes after each answer
    def do_GET(self):
        body = b"<p>hello from Python</p>"
        self.send_response(200)
        self.send_header("Token", self.headers["Token"])
        self.send_header("Version", "v2")
        self.send_header("From", "ECS")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass

class Server(ThreadingHTTPServer):
    request_queue_size = 128

server = Server(("127.0.0.1", 0), Contestant)
print("listening on http://127.0.0.1:%d/" % server.server_address[1], flush=True)
server.serve_forever()
"#;

#[test]
fn python_that_speaks_http_1_0_loses_no_point() {
    let stage = Stage::new();
    let mut command = Command::new("python3");
    command.args(["-c", PYTHON]);
    let mut server = flowtest_bench::child::Child::start("python3", &command).unwrap_or_else(|error| panic!("{error}"));
    let url = server
        .wait_for("listening on http://", Duration::from_secs(20), flowtest_bench::child::listening_on)
        .unwrap_or_else(|error| panic!("{error}"));
    let stage = stage.stranger(&url);
    let tally = stage.flood(500, &["--connections", "4"]).of(&url);
    assert_eq!(tally.points(&Rules::default()), 500 * 200, "{tally:?}");
}
