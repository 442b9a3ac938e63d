//! End to end, as scripts: real contestants, the real generator, a real Redis, and scores known beforehand.
//!
//! These flood and measure, so they have the machine for themselves; what waits more than it works is in `rounds`.

mod closing;
mod hostile;
mod isolation;
mod limit;
mod scores;
mod stage;
mod stall;
mod starved;
mod venue;
