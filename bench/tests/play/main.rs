//! End to end, as scripts: real contestants, the real generator, a real Redis, and scores known beforehand.

mod contest;
mod demo;
mod isolation;
mod journal;
mod rounds;
mod scores;
mod soak;
mod stage;
mod stall;
