//! The scoreboard against real Redis servers, which are killed, wiped, paused and torn.

mod outages;
mod protocol;
mod refusals;
mod rounds;
mod stage;
#[path = "../../src/testing.rs"]
#[expect(unreachable_pub, reason = "the same file is a public module of the library")]
mod testing;
mod torn;
