//! What waits for the clock of a round more than it works, end to end: generators that serve, and who organises; journals of
//! generators that are killed, beside a Redis that forgets; the demo and the examples, played. Each sends a few hundred
//! requests a second, so these run beside one another, and beside other suites.

mod addresses;
mod arena;
mod breakpoint;
mod contest;
mod demo;
mod examples;
mod handshakes;
mod healing;
mod https;
mod joining;
mod journal;
mod other_servers;
mod practice;
mod saying;
mod scoreboard;
mod slow_clients;
mod soak;
mod splits;
#[path = "../play/stage.rs"]
mod stage;
mod steering;
mod stopping;
mod viewers;
