//! What Redis counts and lies in no folder that was named: missing, begun since, or a copy.

use crate::played::{CONTEST, OTHER, Played, ROUND, STREAM};
use crate::program::run;
use crate::rebuilding::Stage;
use flowtest_contract::RoundId;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;

const NEXT: RoundId = RoundId::from_bits(0xbeef);

impl Stage {
    /// An audit over a way on which something is done before its first question with this word goes on to Redis.
    fn audit_while(&self, word: &[u8], then: impl FnOnce() + Send) -> crate::program::Said {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("redis://{}", listener.local_addr().expect("it is bound"));
        let server = self.server.url().trim_start_matches("unix://").to_owned();
        let dir = self.dir.path().to_str().expect("UTF-8");
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let (client, _) = listener.accept().expect("the audit comes");
                carry(client, UnixStream::connect(server).expect("Redis listens"), word, then);
            });
            run(&["audit", "--journal", dir, "--redis", &url])
        })
    }
}

/// Until the client has gone.
fn carry(client: TcpStream, server: UnixStream, word: &[u8], then: impl FnOnce()) {
    let (mut answers, mut back) =
        (server.try_clone().expect("a descriptor"), client.try_clone().expect("a descriptor"));
    let answering = std::thread::spawn(move || std::io::copy(&mut answers, &mut back));
    let (mut client, mut server, mut buffer, mut then) = (client, server, vec![0; 64 << 10], Some(then));
    while let Ok(count @ 1..) = client.read(&mut buffer) {
        if buffer[..count].windows(word.len()).any(|part| part == word)
            && let Some(then) = then.take()
        {
            then();
        }
        server.write_all(&buffer[..count]).expect("Redis takes it");
    }
    let _ = server.shutdown(Shutdown::Both);
    let _ = answering.join();
}

#[test]
fn a_round_or_a_stream_that_begins_while_an_audit_reads_is_no_difference_and_one_that_only_comes_is() {
    // What was sealed, or has ended, did not begin just now: its journal came from elsewhere, and nothing of it was read.
    let again = "its journal came while this was read, so that nothing of it is proved: audit again";
    let begun = "was begun while this was read: it is not audited";
    let (rounds, streams): (&[u8], &[u8]) = (b"\r\nSCAN\r\n", b"\r\nHGETALL\r\n");
    let (round, stream) = ((NEXT, STREAM), (ROUND, OTHER));
    // (what comes, before which question, what Redis says of it, the exit code, what is told)
    let cases = [
        (round, rounds, "running", None, 0, begun),
        (round, rounds, "sealed", None, 4, again),
        (stream, streams, "running", None, 0, begun),
        (stream, streams, "running", Some("1"), 4, again),
        (stream, streams, "sealed", Some("1"), 4, again),
        (stream, streams, "draining", None, 4, again),
        (stream, streams, "aborted", None, 4, again),
    ];
    for ((round, stream), word, state, end, code, told) in cases {
        let begins = Played { round, stream, ..Played::usual() };
        let stage = Stage::new([Played::usual()]);
        stage.run("rebuild", &["--seal"]).exits(0);
        let said = stage.audit_while(word, || {
            begins.write(stage.dir.path());
            let counted = [format!("q:{stream}"), format!("t:{stream}:alice")];
            let key = stage.key().replace(&ROUND.to_string(), &round.to_string());
            let row = flowtest_contract::Row::default().encode_tally();
            stage.server.command(&["HSET", &key, "state", state, &counted[0], "1", &counted[1], &row]);
            end.map(|end| stage.server.command(&["HSET", &key, &format!("e:{stream}"), end]));
        });
        println!("{state}, {end:?}");
        said.exits(code).says(told);
    }
}

#[test]
fn rounds_that_redis_counts_and_that_have_no_folder_are_one_difference() {
    let stage = Stage::new([Played::usual()]);
    stage.run("rebuild", &["--seal"]).exits(0);
    stage.run("audit", &[]).exits(0);
    // Other rounds of the contest, whose folders are gone.
    let key = |round: &str| stage.key().replace(&ROUND.to_string(), round);
    let gone = [NEXT, RoundId::from_bits(0xf00d)].map(|round| round.to_string());
    stage.server.command(&["COPY", &stage.key(), &key(&gone[0])]);
    let said = stage.run("audit", &[]).exits(4).says("DIFFERENT: 1 difference");
    said.says(&format!("Redis counts round {} of which no folder is here", gone[0]));
    stage.server.command(&["COPY", &stage.key(), &key(&gone[1])]);
    let said = stage.run("audit", &[]).exits(4).says("DIFFERENT: 1 difference");
    let said = said.says(&format!("Redis counts 2 rounds ({})", gone.join(", ")));
    // As where one round was copied to be looked at: it says how.
    let own = stage.dir.path().canonicalize().expect("it is there").join(ROUND.to_string());
    let own = own.to_str().expect("UTF-8");
    said.says(&format!("to audit it alone: --journal {own}"));
    run(&["audit", "--journal", own, "--redis", &stage.server.url()]).exits(0);
    // One of another contest is none of ours.
    for round in &gone {
        stage.server.command(&["RENAME", &key(round), &key(round).replace(CONTEST, "others")]);
    }
    stage.run("audit", &[]).exits(0);
}

#[test]
fn what_redis_counts_without_a_folder_is_a_difference_also_where_it_has_lost_the_state_of_the_round() {
    // Of a round of which another stream is here, and of one of which none is.
    for gone in [Played { stream: OTHER, ..Played::usual() }, Played { round: NEXT, ..Played::usual() }] {
        let (round, stream) = (gone.round, gone.stream);
        let stage = Stage::new([Played::usual(), gone]);
        stage.run("rebuild", &[]).exits(0);
        stage.server.command(&["HDEL", &stage.key().replace(&ROUND.to_string(), &round.to_string()), "state"]);
        let folder = stage.dir.path().join(round.to_string());
        let folder = if round == NEXT { folder } else { folder.join(stream.to_string()) };
        std::fs::remove_dir_all(folder).expect("removed");
        let told = match round == NEXT {
            true => format!("Redis counts round {round} of which no folder is here"),
            false => format!("Redis counts stream {stream} but its journal is not here"),
        };
        stage.run("audit", &[]).exits(4).says(&told);
    }
}

#[test]
fn a_copy_of_a_round_under_the_name_of_another_is_one_difference_and_says_what_it_is() {
    let stage = Stage::new([Played::usual(), Played { round: NEXT, ..Played::usual() }]);
    stage.run("rebuild", &["--seal"]).exits(0);
    stage.run("audit", &[]).exits(0);
    let name = RoundId::from_bits(0xc0b1).to_string();
    let (from, to) = (stage.dir.path().join(ROUND.to_string()), stage.dir.path().join(&name));
    copy(&from.join(STREAM.to_string()), &to.join(STREAM.to_string()));
    let said = stage.run("audit", &[]).exits(4).says("DIFFERENT: 1 difference");
    said.says(&format!("its header is of stream {STREAM} of round {ROUND}, so it is a copy under another name"));
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("it is read") {
        let entry = entry.expect("an entry");
        std::fs::copy(entry.path(), to.join(entry.file_name())).expect("it is copied");
    }
}
