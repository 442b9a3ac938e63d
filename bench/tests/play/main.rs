//! End to end, as scripts: real contestants, the real generator, a real Redis, and scores known beforehand.

mod arena;
mod contest;
mod demo;
mod examples;
mod isolation;
mod journal;
mod practice;
mod rounds;
mod saying;
mod scores;
mod soak;
mod stage;
mod stall;
mod steering;
mod venue;
mod viewers;
