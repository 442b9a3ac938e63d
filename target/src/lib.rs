//! The reference contestant server: answers every request with the token *of that request*.
//!
//! What decides is pure and knows no socket: bytes in, bytes and a [`connection::Step`] out. What touches the
//! world is thin: `worker` and [`server`]. Reading order:
//!
//! | module | noun |
//! |---|---|
//! | [`config`] | flags -> an already valid configuration |
//! | [`schedule`] | which `Version` and `From` are due at an instant |
//! | [`faults`] | what goes wrong at every k-th request, counted |
//! | [`request`] | one request: the one place that decides about framing, persistence and refusal |
//! | [`careful`] | the parser for every request (httparse underneath, strict around it) |
//! | [`fast`] | the parser for the usual GET, and the shape of the last one |
//! | [`body`] | request bodies, dropped within limits |
//! | [`page`] | responses, built before they are needed |
//! | [`desk`] | what one worker answers with |
//! | [`connection`] | one connection without I/O: bytes in, responses and a step out |
//! | [`counters`] | what was answered and injected, per worker, summed for `/healthz` and at exit |
//! | `seats` | time limits of a worker's connections |
//! | `io` | one connection with I/O |
//! | `worker` | one pinned thread: accepts, keeps time, drains |
//! | [`server`] | all workers: start, stop, summary |

pub mod body;
pub mod careful;
pub mod config;
pub mod connection;
pub mod counters;
pub mod desk;
pub mod fast;
pub mod faults;
mod io;
pub mod page;
pub mod request;
pub mod schedule;
mod seats;
pub mod server;
mod worker;

pub use config::Config;
pub use server::Server;
