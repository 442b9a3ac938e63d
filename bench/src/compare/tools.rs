//! Load tools: how each is called for the same work on one core, and how its report is read.

use super::paired::Sample;
use crate::child::{self, Child, Ended};
use crate::error::{Error, Result};
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// How much longer than its measured time a tool may take to start, report and end.
const SLACK: Duration = Duration::from_secs(30);
/// Any token: tools that do not judge send the same one for ever.
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    Ours,
    Wrk,
    H2load,
    Oha,
    Shb,
    Gcannon,
    LoadgenRs,
    /// Paced only.
    Wrk2,
    /// `openssl s_time`, which makes connections and nothing else.
    OpenSsl,
}

impl Tool {
    /// In closed loop.
    pub const PEERS: [Tool; 6] = [Tool::Wrk, Tool::H2load, Tool::Oha, Tool::Shb, Tool::Gcannon, Tool::LoadgenRs];
    /// At a rate.
    pub const PACED: [Tool; 2] = [Tool::Wrk2, Tool::Oha];

    pub fn name(self) -> &'static str {
        match self {
            Tool::Ours => "flowtest-loadgen",
            Tool::Wrk => "wrk",
            Tool::H2load => "h2load",
            Tool::Oha => "oha",
            Tool::Shb => "shb",
            Tool::Gcannon => "gcannon",
            Tool::LoadgenRs => "loadgen-rs",
            Tool::Wrk2 => "wrk2",
            Tool::OpenSsl => "openssl s_time",
        }
    }

    fn program(self) -> &'static str {
        if self == Tool::OpenSsl { "openssl" } else { self.name() }
    }

    pub fn is_installed(self) -> bool {
        self == Tool::Ours || child::find_program(self.program()).is_some()
    }

    /// Whether it can keep several requests in flight on one connection.
    pub fn pipelines(self) -> bool {
        matches!(self, Tool::Ours | Tool::Wrk | Tool::H2load | Tool::Gcannon | Tool::LoadgenRs)
    }
}

/// What a tool is asked to do.
#[derive(Clone, Copy, Debug)]
pub struct Work<'a> {
    pub url: &'a str,
    pub connections: usize,
    pub pipeline: usize,
    pub duration: Duration,
    /// Requests per second in open loop; closed loop without it. Ours and [`Tool::PACED`] only.
    pub rate: Option<u64>,
    /// Whose certificate a server over https shows: ours verifies it, and peers take any.
    pub ca: Option<&'a str>,
    /// So many connections at once, each of which is asked once, in place of a duration. h2load only.
    pub once: Option<usize>,
    /// Whether sessions are resumed. Only where a tool must be told.
    pub resumes: bool,
    /// Another build of our generator, in place of the one beside us.
    pub build: Option<&'a Path>,
    pub core: usize,
    /// Where a script may be written.
    pub scratch: &'a Path,
}

impl Work<'_> {
    /// Our generator, without arguments.
    pub(super) fn generator(&self) -> Result<Command> {
        self.build.map_or_else(|| child::sibling("flowtest-loadgen"), |build| Ok(Command::new(build)))
    }
}

/// What a report said.
struct ToolReport {
    rate: f64,
    requests: f64,
    json: Value,
}

/// Runs the tool once. `server` is the child that answers, whose CPU time is measured beside.
pub fn run(tool: Tool, work: &Work<'_>, server: &Child) -> Result<Sample> {
    measure(tool, &command(tool, work)?, work, server)
}

/// Runs a command that reports as this tool does.
pub(super) fn measure(tool: Tool, command: &Command, work: &Work<'_>, server: &Child) -> Result<Sample> {
    let server_before = server.usage();
    let begun = Instant::now();
    let mut generator = Child::start(tool.name(), &child::pinned(work.core, command)?)?;
    let mut generator_rss_kib = 0;
    let until = begun + work.duration + SLACK;
    while generator.is_alive() && Instant::now() < until {
        generator_rss_kib = generator_rss_kib.max(generator.rss_peak_kib().unwrap_or(0));
        std::thread::sleep(Duration::from_millis(50));
    }
    let ran_s = begun.elapsed().as_secs_f64();
    let ended = generator.wait(Duration::from_secs(1))?;
    let server_used = server.usage().since(server_before);
    let report = read(tool, &ended, ran_s)?;
    // Everybody is charged for its process and the server from start to end, so by all requests: ours counts those of the
    // warm-up apart.
    let requests = report.json["cpu"]["requests"].as_f64().unwrap_or(report.requests);
    let per_request = |value: f64| if requests > 0.0 { value / requests } else { 0.0 };
    let enters = report.json["workers"].as_array().map(|all| all.iter().filter_map(|one| one["enters"].as_f64()).sum());
    Ok(Sample {
        rate: report.rate,
        generator_user_us: per_request(ended.usage.user_us as f64),
        generator_system_us: per_request(ended.usage.system_us as f64),
        enters: enters.map(per_request),
        server_cpu_us: per_request(server_used.total_us() as f64),
        generator_rss_kib,
        rate_ratio: report.json["rate_ratio"].as_f64(),
        send_lag_p99_us: report.json["lag_us"]["p99"].as_f64(),
    })
}

fn command(tool: Tool, work: &Work<'_>) -> Result<Command> {
    let connections = work.connections.to_string();
    let seconds = work.duration.as_secs().max(1).to_string();
    let header = format!("Token: {TOKEN}");
    let mut command = match tool {
        Tool::Ours => work.generator()?,
        _ => Command::new(
            child::find_program(tool.program())
                .ok_or_else(|| Error::NotInstalled { program: tool.program().into(), make: "make bench" })?,
        ),
    };
    match tool {
        Tool::Ours => {
            command.args(["stress", work.url, "--connections", &connections]);
            let warmup = warmup_ms(work.connections, work.ca.is_some());
            command.args(["--duration", &format!("{seconds}s"), "--warmup", &format!("{warmup}ms"), "--json", "-"]);
            command.args(["--cores", &work.core.to_string()]);
            command.args(work.ca.iter().flat_map(|ca| ["--ca", ca]));
            match work.rate {
                Some(rate) => command.args(["--rate", &rate.to_string()]),
                None => command.args(["--pipeline", &work.pipeline.to_string()]),
            };
        }
        Tool::Wrk => {
            command.args(["-t1", "-c", &connections, "-d", &format!("{seconds}s"), "-H", &header]);
            if work.pipeline > 1 {
                let script = work.scratch.join("pipeline.lua");
                std::fs::write(&script, wrk_script(work.pipeline)).map_err(Error::io("writing wrk's script"))?;
                command.arg("-s").arg(script);
            }
            command.arg(work.url);
        }
        Tool::H2load => {
            match work.once.map(|once| once.to_string()) {
                Some(once) => command.args(["--h1", "-t1", "-c", &once, "-n", &once]),
                None => {
                    command.args(["--h1", "-t1", "-c", &connections, "-D", &seconds, "-m", &work.pipeline.to_string()])
                }
            };
            command.args(["-H", &header, work.url]);
        }
        Tool::Oha => {
            command.args(["-z", &format!("{seconds}s"), "-c", &connections, "--no-tui", "--output-format", "json"]);
            command.args(work.ca.iter().map(|_| "--insecure"));
            if let Some(rate) = work.rate {
                // A latency counts from when its request was to be sent.
                command.args(["-q", &rate.to_string(), "--latency-correction"]);
            }
            command.args(["-H", &header, work.url]);
            // One worker thread, as everybody here.
            command.env("TOKIO_WORKER_THREADS", "1");
        }
        Tool::Shb => {
            command.args(["-z", &format!("{seconds}s"), "-c", &connections, "-t", "1", "-j", "-H", &header, work.url]);
        }
        Tool::Gcannon => {
            // A header of our own would be a file of its own for it: it sends none.
            let (pipeline, duration) = (work.pipeline.to_string(), format!("{seconds}s"));
            command.args([work.url, "-c", &connections, "-t", "1", "-d", &duration, "-p", &pipeline, "--json"]);
        }
        Tool::LoadgenRs => {
            command.args(["--h1", "-n", "0", "-t", "1", "-c", &connections, "-D", &format!("{seconds}s")]);
            command.args(["-m", &work.pipeline.to_string(), "--no-human", "-H", &header, work.url]);
        }
        Tool::Wrk2 => {
            let rate = work.rate.unwrap_or_default().to_string();
            command.args(["-t1", "-c", &connections, "-d", &format!("{seconds}s"), "-R", &rate, "--latency"]);
            command.args(["-H", &header, work.url]);
        }
        Tool::OpenSsl => {
            let address = work.url.trim_start_matches("https://").trim_end_matches('/');
            let how = if work.resumes { "-reuse" } else { "-new" };
            command.args(["s_time", "-connect", address, "-www", "/", how, "-time", &seconds, "-tls1_3"]);
        }
    }
    Ok(command)
}

/// Until every connection is there: other tools connect before they count, or hide it in a long run. Handshakes of TLS take both
/// sides half a millisecond, of a third of our time at the least.
fn warmup_ms(connections: usize, is_tls: bool) -> usize {
    500 + if is_tls { connections * 3 / 2 } else { connections / 4 }
}

/// wrk sends what `request` returns and counts answers: several requests in one string are pipelined.
fn wrk_script(pipeline: usize) -> String {
    format!(
        "init = function(args)\n  local r = {{}}\n  for i = 1, {pipeline} do r[i] = wrk.format() end\n  \
         batch = table.concat(r)\nend\nrequest = function() return batch end\n"
    )
}

/// `ran_s`: from its start to its end.
fn read(tool: Tool, ended: &Ended, ran_s: f64) -> Result<ToolReport> {
    let unreadable = || {
        let tail: Vec<&str> = ended.stderr.lines().chain(ended.stdout.lines()).rev().take(4).collect();
        Error::Other(format!(
            "{} ({}) gave no report that can be read: {}",
            tool.name(),
            ended.status,
            tail.join(" / ")
        ))
    };
    let json = || serde_json::from_str::<Value>(&ended.stdout).map_err(|_| unreadable());
    match tool {
        Tool::Ours => {
            let json = json()?;
            let verified = json["verified"].as_f64().ok_or_else(unreadable)?;
            let requests = json["requests"].as_f64().ok_or_else(unreadable)?;
            let duration_s = json["duration_s"].as_f64().filter(|duration| *duration > 0.0).ok_or_else(unreadable)?;
            let answered = json["rate"].as_f64().ok_or_else(unreadable)?;
            // A server that cannot echo a token verifies nothing; then what it answered counts, as for every peer.
            let rate = if verified > 0.0 { verified / duration_s } else { answered };
            Ok(ToolReport { rate, requests, json })
        }
        Tool::Wrk | Tool::Wrk2 => {
            let rate = number_after(&ended.stdout, "Requests/sec:").ok_or_else(unreadable)?;
            let requests = number_before(&ended.stdout, " requests in ").ok_or_else(unreadable)?;
            Ok(ToolReport { rate, requests, json: Value::Null })
        }
        Tool::H2load => {
            // finished in 3.00s, 121345.33 req/s, 35.80MB/s
            let rate = number_before(&ended.stdout, " req/s").ok_or_else(unreadable)?;
            let requests = number_before(&ended.stdout, " succeeded").ok_or_else(unreadable)?;
            Ok(ToolReport { rate, requests, json: Value::Null })
        }
        Tool::Oha => {
            let json = json()?;
            let rate = json["summary"]["requestsPerSec"].as_f64().ok_or_else(unreadable)?;
            let total_s = json["summary"]["total"].as_f64().ok_or_else(unreadable)?;
            Ok(ToolReport { rate, requests: rate * total_s, json: Value::Null })
        }
        Tool::Shb => {
            let json = json()?;
            let rate = json["requestsPerSec"].as_f64().ok_or_else(unreadable)?;
            let requests = json["requests"]["ok"].as_f64().ok_or_else(unreadable)?;
            Ok(ToolReport { rate, requests, json: Value::Null })
        }
        Tool::Gcannon | Tool::LoadgenRs => {
            let json = json()?;
            let counted = if tool == Tool::Gcannon { "requests" } else { "ok" };
            let rate = json["rps"].as_f64().ok_or_else(unreadable)?;
            let requests = json[counted].as_f64().ok_or_else(unreadable)?;
            Ok(ToolReport { rate, requests, json: Value::Null })
        }
        Tool::OpenSsl => {
            // 9532 connections in 4 real seconds, 287 bytes read per connection: whole seconds, and up to one too many.
            let line = ended.stdout.lines().rev().find(|line| line.contains(" real seconds")).ok_or_else(unreadable)?;
            let requests = number_before(line, " connections in ").ok_or_else(unreadable)?;
            Ok(ToolReport { rate: requests / ran_s, requests, json: Value::Null })
        }
    }
}

fn number_after(text: &str, mark: &str) -> Option<f64> {
    text.split_once(mark)?.1.split_whitespace().next()?.parse().ok()
}

fn number_before(text: &str, mark: &str) -> Option<f64> {
    let before = text.split_once(mark)?.0;
    before.rsplit(|letter: char| !letter.is_ascii_digit() && letter != '.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    fn ended(stdout: &str) -> Ended {
        let status = std::process::ExitStatus::from_raw(0);
        Ended { status, stdout: stdout.into(), stderr: String::new(), usage: child::Usage::default() }
    }

    #[test]
    fn each_report_is_read() {
        // (tool, an abridged report of that tool, requests per second, requests)
        let cases = [
            (Tool::Wrk, "  363217 requests in 3.00s, 104.2MB read\nRequests/sec: 121072.33\n", 121_072.33, 363_217.0),
            (
                Tool::H2load,
                "finished in 3.00s, 121345.33 req/s, 35.80MB/s\nrequests: 364036 total, 364100 started, 364036 done, \
                 364036 succeeded, 0 failed\n",
                121_345.33,
                364_036.0,
            ),
            (Tool::Oha, r#"{"summary":{"total":2.0,"requestsPerSec":95000.5}}"#, 95_000.5, 190_001.0),
            (Tool::Shb, r#"{"requests":{"ok":600},"requestsPerSec":200.0}"#, 200.0, 600.0),
            (Tool::Gcannon, r#"{"requests":600,"rps":200.0}"#, 200.0, 600.0),
            (Tool::LoadgenRs, r#"{"ok":600,"rps":200.0}"#, 200.0, 600.0),
            (Tool::Wrk2, "  60000 requests in 3.00s, 17.2MB read\nRequests/sec:  19999.33\n", 19_999.33, 60_000.0),
            (
                Tool::OpenSsl,
                "Collecting connection statistics for 3 seconds\n***\n\n600 connections in 0.50s; 1200.00 connections/user \
                 sec, bytes read 172200\n600 connections in 4 real seconds, 287 bytes read per connection\n",
                150.0,
                600.0,
            ),
            (Tool::Ours, r#"{"requests":900,"verified":600,"rate":290.0,"duration_s":3.0}"#, 200.0, 900.0),
            (Tool::Ours, r#"{"requests":900,"verified":0,"rate":290.0,"duration_s":3.0}"#, 290.0, 900.0),
        ];
        for (tool, report, rate, requests) in cases {
            let read = read(tool, &ended(report), 4.0).expect("a report of that tool");
            assert_eq!((read.rate, read.requests), (rate, requests), "{}", tool.name());
        }
    }

    #[test]
    fn a_report_that_is_none_is_quoted() {
        for tool in [Tool::Ours].into_iter().chain(Tool::PEERS).chain(Tool::PACED).chain([Tool::OpenSsl]) {
            let error = read(tool, &ended("cannot connect"), 4.0).err().expect("no report").to_string();
            assert!(error.contains(tool.name()) && error.contains("cannot connect"), "{error}");
        }
    }
}
