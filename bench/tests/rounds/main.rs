//! Rounds on a clock, end to end: generators that serve, and who organises. Each sends a few hundred requests a second and
//! waits more than it works, so these run beside one another, and beside other suites.

mod arena;
mod healing;
mod practice;
mod saying;
mod splits;
#[path = "../play/stage.rs"]
mod stage;
mod steering;
mod stopping;
