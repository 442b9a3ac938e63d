//! Everybody sees the same at the same time.

use crate::arena::Arena;
use crate::browser::{Browser, play, say, turn};
use serde_json::Value;
use std::time::Duration;

/// How far apart two screens may be.
const APART_MAX: Duration = Duration::from_millis(1_500);
/// Looks at a machine that does other things as well.
const TRIES: usize = 3;

/// What stands on a board: rank, name and points of each row.
async fn board(browser: &Browser) -> Value {
    let script = "return [...document.querySelectorAll('[data-rows] > [data-id]')].map(row => [row.dataset.id, \
                  row.querySelector('.col-rank').textContent.trim(), row.querySelector('.col-points').textContent.trim()])";
    browser.run(script, vec![]).await
}

/// Waits until a board is this one; how long that took.
async fn until_same(browser: &Browser, wanted: &Value) -> Option<Duration> {
    let start = std::time::Instant::now();
    while start.elapsed() < APART_MAX {
        if board(browser).await == *wanted {
            return Some(start.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    None
}

#[test]
fn two_browsers_show_the_same_frame_within_a_second_and_a_half() {
    let Some(_turn) = turn() else { return };
    play(async {
        let mut arena = Arena::short();
        arena.team("alice", "Alice", &[]);
        arena.team("bob", "Bob", &["--faults", "status:3=503"]);
        let one = arena.admin_browser().await;
        let other = arena.admin_browser().await;
        for browser in [&one, &other] {
            browser.go("/chart").await;
        }
        arena.arm("+6s");
        arena.until_state("running");
        let mut seen = 0;
        for attempt in 1..=TRIES {
            // A board that has just changed, so that the other one has not shown it for long.
            let old = board(&one).await;
            one.until(&format!(
                "JSON.stringify([...document.querySelectorAll('[data-rows] .col-points')].map(cell => cell.textContent.trim())) \
                 !== {}",
                serde_json::to_string(&points_of(&old).to_string()).expect("a string")
            ))
            .await;
            let new = board(&one).await;
            match until_same(&other, &new).await {
                Some(after) => {
                    seen += 1;
                    assert!(after <= APART_MAX);
                    break;
                }
                None => say(&format!("try {attempt}: the other browser did not show {new}")),
            }
        }
        assert_eq!(seen, 1, "in {TRIES} tries the second browser never showed what the first one did");
        one.assert_clean().await;
        other.assert_clean().await;
        one.close().await;
        other.close().await;
    });
}

fn points_of(board: &Value) -> Value {
    board.as_array().into_iter().flatten().map(|row| row[2].clone()).collect()
}
