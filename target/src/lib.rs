//! The reference contestant server: answers every request with the token *of that request*.
//!
//! What decides is pure and knows no socket: bytes in, bytes and a [`connection::Step`] out. What touches the
//! world is thin: `thread` and [`server`]. Reading order:
//!
//! | module | noun |
//! |---|---|
//! | [`config`] | flags -> an already valid configuration |
//! | [`schedule`] | which `Version` and `From` are due at an instant |
//! | [`faults`] | what goes wrong at every k-th request, counted |
//! | [`capacity`] | how many requests a second are answered at most, and who waits |
//! | [`request`] | one request: the one place that decides about framing, persistence and refusal |
//! | [`strict_parser`] | the parser for every request: httparse, and what it lets pass refused |
//! | [`fast_parser`] | the parser for the usual GET, and a cache of the last head that it read |
//! | [`body`] | request bodies, dropped within limits |
//! | [`page`] | responses, built before they are needed |
//! | [`responder`] | what one worker answers with |
//! | [`connection`] | one connection without I/O: bytes in, responses and a step out |
//! | [`certificates`] | whose certificate the TLS port shows, and its reload |
//! | [`tls`] | TLS of one connection without I/O: records in, plaintext and records out |
//! | [`counters`] | what was answered and injected, per worker, summed for `/healthz`, `/metrics` and at exit |
//! | `deadlines` | time limits of a worker's connections |
//! | `io` | one connection with I/O |
//! | `worker` | what the tasks of one worker share |
//! | `thread` | a worker's thread, pinned unless a quota shares the cores: accepts, keeps time, drains |
//! | [`server`] | all workers: start, stop, summary |

pub mod body;
pub mod capacity;
pub mod certificates;
pub mod config;
pub mod connection;
pub mod counters;
mod deadlines;
pub mod fast_parser;
pub mod faults;
mod io;
pub mod page;
pub mod request;
pub mod responder;
pub mod schedule;
pub mod server;
pub mod strict_parser;
mod thread;
pub mod tls;
mod worker;

pub use config::Config;
pub use server::Server;
