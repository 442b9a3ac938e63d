//! End to end, as scripts: real contestants, the real generator, a real Redis, and scores known beforehand.
//!
//! These flood and measure, so they have the machine for themselves; what waits more than it works is in `rounds`.

mod closing;
mod contest;
mod demo;
mod examples;
mod hostile;
mod isolation;
mod journal;
mod scoreboard;
mod scores;
mod soak;
mod stage;
mod stall;
mod starved;
mod venue;
mod viewers;
