//! The scoreboard against real Redis servers, which are killed, wiped, paused and torn.

mod named;
mod outages;
mod protocol;
mod refusals;
mod rounds;
mod side_talk;
mod stage;
mod torn;
mod users;
