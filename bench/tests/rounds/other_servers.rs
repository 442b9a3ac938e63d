//! Servers as teams have them, behind TLS, in a round: nginx, HAProxy, Node, Python and Go, whichever are here.

use crate::addresses::lost_nothing;
use crate::arena::Arena;
use crate::https::honest;
use crate::stage::Stage;
use flowtest_bench::contest_box::ContestFile;
use flowtest_bench::contest_box::contest::Phase;
use flowtest_testkit::servers::{Make, OtherServer};
use std::path::Path;
use std::time::Duration;

#[test]
fn servers_of_every_make_over_https_are_verified_whole_and_proved() {
    let stage = Stage::light().contestant("alice", &[]);
    let honest = honest(&stage);
    let (certificate, key) = (honest.path(), honest.key_path());
    let start = |make: &Make| make.start(stage.folder(), Path::new(&certificate), Path::new(&key));
    let servers: Vec<(Make, OtherServer)> = Make::ALL.iter().filter_map(|make| Some((*make, start(make)?))).collect();
    let phase = Phase { length: Duration::from_secs(10), rate: Some(100), connections: 12, pipeline: 1 };
    let contest = ContestFile::new("arena", phase).with("alice", &stage.target("alice").endpoint);
    let contest = servers.iter().fold(contest, |contest, (make, server)| {
        contest.with(make.name(), &format!("https://127.0.0.1:{}/a?b=c", server.port))
    });
    let mut arena = Arena::of(stage, &contest, &[]);
    for generator in ["g1", "g2"] {
        arena.serve_with(generator, &["--ca", &honest.path()]);
    }
    arena.arm(&["g1", "g2"]);
    let tallies = arena.sealed();
    for (make, _) in &servers {
        println!("{}: {:?}", make.name(), tallies[make.name()]);
    }
    let names: Vec<&str> = ["alice"].into_iter().chain(servers.iter().map(|(make, _)| make.name())).collect();
    lost_nothing(&tallies, &names, 1000);
    arena.assert_proved(&["g1", "g2"]);
}
