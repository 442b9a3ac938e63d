//! `export` and `inspect`.

use crate::played::{NAMES, Played};
use crate::program::on;
use std::io::Read;
use std::process::{Command, Stdio};

fn journal() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    Played::usual().write(dir.path());
    dir
}

const IDS: &str = "0000000000000000000000000000aaaa,00000000000000000000000000001111";

#[test]
fn batches_are_a_table_of_counters() {
    let said = on("export", journal().path(), &[]).exits(0);
    let lines: Vec<&str> = said.out.split("\r\n").collect();
    assert_eq!(
        lines[0],
        "round,stream,seq,from,to,contestant,scored,due,sent,resent,token_right,token_wrong,version_right,version_wrong,\
         from_right,from_wrong,timeout,refused,reset,malformed,status,missed,own_fault,unsolicited,bytes,latency,service,\
         tls"
    );
    assert_eq!(
        lines[1],
        format!(
            "{IDS},2,1795428000000000,1795428000100000,alice,true,1,1,0,1,0,1,0,1,0,0,0,0,0,0,0,0,0,200,192:1,190:1,0"
        )
    );
    // head, alice twice and the other once in the first interval, both in the two others, and what is after the last line
    assert_eq!(lines.len(), 1 + 3 + 2 + 2 + 1);
}

#[test]
fn traces_say_what_was_observed() {
    let said = on("export", journal().path(), &["--what", "traces"]).exits(0);
    let lines: Vec<&str> = said.out.split("\r\n").collect();
    assert_eq!(lines[0], "round,stream,seq,worker,contestant,sent,latency_us,lag_us,outcome,token,version,from,scored");
    assert_eq!(lines[1], format!("{IDS},2,0,alice,1795428000005000,1050,50,answered,right,v2,ECS,false"));
    assert!(
        lines.contains(
            &format!("{IDS},3,0,house of cards,1795428000120100,1050,50,answered,wrong,v2,EC2,true").as_str()
        )
    );
    assert!(lines.contains(&format!("{IDS},4,0,house of cards,1795428000220100,3000100,,missed,,,,true").as_str()));
    assert_eq!(lines.len(), 1 + 13 + 1);
}

#[test]
fn evidence_is_printable_and_no_formula() {
    let csv = on("export", journal().path(), &["--what", "evidence"]).exits(0);
    assert!(csv.out.contains(r#","'=cmd|'/c calc'\x1b[31m\xff","#), "{}", csv.out);
    let json = on("export", journal().path(), &["--what", "evidence", "--format", "ndjson"]).exits(0).json();
    assert_eq!(
        (&json["contestant"], &json["outcome"], &json["token"]),
        (&NAMES[1].into(), &"timeout".into(), &().into())
    );
    assert_eq!(json["request"], "GET / HTTP/1.1\\r\\n\\r\\n");
}

#[test]
fn notices_tell_the_story_of_a_stream() {
    let file = tempfile::tempdir().expect("a folder");
    let path = file.path().join("notices.ndjson");
    let words = ["--what", "notices", "--format", "ndjson", "--output", path.to_str().expect("UTF-8")];
    assert_eq!(on("export", journal().path(), &words).exits(0).out, "");
    let text = std::fs::read_to_string(path).expect("it was written");
    let kinds: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("an object")["kind"].clone())
        .collect();
    assert_eq!(kinds, ["start", "late", "notice", "end"]);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let dir = journal();
    let mut child = Command::new(env!("CARGO_BIN_EXE_flowtest-loadgen"))
        .args(["export", "--what", "traces", "--journal"])
        .arg(dir.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    drop(child.stdout.take());
    let mut complaint = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut complaint).expect("text");
    assert_eq!((child.wait().expect("it ends").code(), complaint.as_str()), (Some(0), ""));
}

#[test]
fn inspect_says_what_a_journal_holds() {
    let dir = journal();
    let said = on("inspect", dir.path(), &[]).exits(0);
    let said = said.says("of finals").says("┆ ended ┆").says("ended (finished); from 2026-11-23T");
    let said = said.says("token 100, version 50 from the start, from 50 from the start; timeout 3.00 s, grace 5.00 s");
    said.says("contestants: alice, house of cards").says("the disk fills: no evidence");
    let json = on("inspect", dir.path(), &["--json", "-"]).exits(0).json();
    let stream = &json["streams"][0];
    assert_eq!(
        stream["records"],
        serde_json::json!({"start": 1, "batch": 3, "traces": 3, "evidence": 1, "control": 0, "notice": 1, "late": 1, "join": 0, "further": 0, "decision": 0, "end": 1})
    );
    assert_eq!((&stream["traces"], &stream["groups"], &stream["state"]), (&13.into(), &5.into(), &"ended".into()));
}
