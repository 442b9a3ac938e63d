//! A crowd that signs in leaves no more memory behind than those who hash at the same time need.

use crate::stage::{Stage, status};
use std::net::IpAddr;

/// Those who sign in at one moment.
const CROWD: u8 = 200;
/// What may stay after that, in KiB: two threads with 19 MiB each, and what else a page leaves; 31 MiB were measured. A dozen arenas
/// of such a size were ten times as much.
const LEFT_KIB_MAX: u64 = 56 << 10;

/// What a process has in memory, in KiB.
fn resident_kib(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it has memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_that_signs_in_leaves_little_memory_behind() {
    let stage = Stage::open(None, &["--proxy", "127.0.0.1"]).await;
    let id = stage.child.id();
    let mut browsers = Vec::new();
    for number in 0..CROWD {
        let mut browser = stage.browser();
        browser.forwarded = Some(IpAddr::from([10, 0, 0, number]));
        assert_eq!(status(&browser.get("/login").await), 200);
        browsers.push(browser);
    }
    let before = resident_kib(id);
    // More than once, as in a day: what each of them leaves is another thread's.
    for _ in 0..2 {
        let attempts = browsers.iter_mut().enumerate().map(|(number, browser)| async move {
            status(&browser.sign_in(&format!("nobody{number}"), "wrong").await)
        });
        let answers = futures_util::future::join_all(attempts).await;
        let refused = answers.iter().filter(|status| **status == 401).count();
        assert!(refused > usize::from(CROWD) / 2, "they were hashed: {answers:?}");
    }
    let left = resident_kib(id).saturating_sub(before);
    eprintln!("{CROWD} sign-ins leave {left} KiB, after {before} KiB");
    assert!(left < LEFT_KIB_MAX, "{left} KiB");
}
