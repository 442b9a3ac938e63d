//! The scoreboard against real Redis servers, which are killed, wiped, paused and torn.

mod outages;
mod protocol;
mod refusals;
mod rounds;
mod server;
mod stage;
mod torn;
